//! Compaction: forgetting what no reader at or after a revision can see.
//!
//! A transaction accepts a compaction: from then on older revisions are refused, which is all a client
//! can observe. The work follows in the background, in bounded steps: first the index lets go of what
//! dies, then the rows are deleted and, on the way, what stays is hashed for comparison with other
//! members. Within a step, writers are kept waiting for [`SLICE`] keys at a time; between steps the
//! background thread sleeps in proportion to what the step worked (`background`).
//!
//! # Failure model
//!
//! `scheduledCompactRev` is in the same commit as the acceptance, `finishedCompactRev` in the one that
//! deletes the last row. A crash between leaves rows that restoring reads and the resumed compaction
//! deletes; its hash is not kept, because some of what it should hash may be gone (as in etcd).

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use varve_backend::{Direction, KeyRange};

use crate::core::{Core, Counters};
use crate::error::Result;
use crate::hash::{CompactionHasher, HashKv};
use crate::options::CompactionStep;
use crate::revision::{Revision, RowKey};
use crate::schema::{self, KEY, META_FINISHED_COMPACT};

/// Rows a hashing step reads for every row it may delete.
const READS_PER_DELETE: usize = 10;

/// Keys cleaned or rows deleted under a lock that writers need: less than a tenth of a millisecond.
const SLICE: usize = 32;

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    /// Whether there is more to do.
    pub more: bool,
    /// Time it worked, without what it waited for locks.
    pub worked: Duration,
}

type Waiter = Box<dyn FnOnce(i64) + Send>;

/// Compactions that were accepted, and who waits for them.
#[derive(Default)]
pub(crate) struct Compactor {
    /// Held for a whole step.
    running: Mutex<Option<Run>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Newest compaction whose rows are gone.
    finished: i64,
    waiters: Vec<(i64, Waiter)>,
}

impl fmt::Debug for Compactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct("Compactor")
            .field("jobs", &queue.jobs)
            .field("finished", &queue.finished)
            .field("waiters", &queue.waiters.len())
            .finish_non_exhaustive()
    }
}

/// A compaction that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub at: i64,
    /// The compaction before it, -1 for none.
    pub previous: i64,
    /// Whether an earlier process may have done part of it.
    pub resumed: bool,
}

struct Run {
    job: Job,
    started_ms: u64,
    phase: Phase,
}

enum Phase {
    /// Collecting what dies, in no order.
    Index {
        dead: Vec<RowKey>,
    },
    Rows(RowsPhase),
}

struct RowsPhase {
    /// What dies, ascending.
    dead: Vec<RowKey>,
    /// How many of them are deleted.
    deleted: usize,
    /// The first row not yet hashed, and the hash so far; `None` when nothing is hashed.
    hashing: Option<(Bytes, CompactionHasher)>,
}

impl Compactor {
    pub(crate) fn push(&self, job: Job) {
        self.queue.lock().jobs.push_back(job);
    }

    /// Waits for the step that runs and lets no other begin.
    pub(crate) fn pause(&self) -> Paused<'_> {
        Paused {
            running: self.running.lock(),
            compactor: self,
        }
    }

    pub(crate) fn is_done(&self, revision: i64) -> bool {
        self.queue.lock().finished >= revision
    }

    pub(crate) fn when_done(&self, revision: i64, waiter: Waiter) {
        let mut queue = self.queue.lock();
        if queue.finished >= revision {
            let finished = queue.finished;
            drop(queue);
            waiter(finished);
        } else {
            queue.waiters.push((revision, waiter));
        }
    }

    /// Drops those who wait: nothing will be compacted any more.
    pub(crate) fn close(&self) {
        let waiters = std::mem::take(&mut self.queue.lock().waiters);
        drop(waiters);
    }
}

impl Queue {
    fn finish(&mut self, revision: i64) -> Done {
        self.finished = revision;
        let waiters = std::mem::take(&mut self.waiters);
        let (done, waiting) = waiters
            .into_iter()
            .partition(|(wanted, _)| *wanted <= revision);
        self.waiters = waiting;
        Done {
            revision,
            waiters: done,
        }
    }
}

/// Those whose compaction is done.
#[must_use]
pub(crate) struct Done {
    revision: i64,
    waiters: Vec<(i64, Waiter)>,
}

impl Done {
    /// Tells them; not to be called under a lock.
    pub(crate) fn call(self) {
        for (_, waiter) in self.waiters {
            waiter(self.revision);
        }
    }
}

/// A compactor that stands still.
pub(crate) struct Paused<'a> {
    running: MutexGuard<'a, Option<Run>>,
    compactor: &'a Compactor,
}

impl Paused<'_> {
    /// Goes on with the state of a store that was just read: `finished` is its newest finished
    /// compaction, `resume` one that was not.
    /// Returns those whose wait that ended, to be called without locks.
    pub(crate) fn restored(&mut self, finished: i64, resume: Option<Job>) -> Done {
        *self.running = None;
        let mut queue = self.compactor.queue.lock();
        queue.jobs = resume.into_iter().collect();
        queue.finish(finished)
    }
}

/// Does one bounded part of the compaction that is next.
pub(crate) fn step(core: &Core) -> Result<Stepped> {
    let mut running = core.compactor.running.lock();
    if running.is_none() {
        let Some(job) = core.compactor.queue.lock().jobs.pop_front() else {
            return Ok(Stepped {
                more: false,
                worked: Duration::ZERO,
            });
        };
        *running = Some(Run {
            job,
            started_ms: core.options.clock.now_ms(),
            phase: Phase::Index { dead: Vec::new() },
        });
    }
    let run = running.as_mut().expect("set above");
    let (done, worked) = match &mut run.phase {
        Phase::Index { dead } => {
            let (done, worked) = step_index(core, run.job.at, dead);
            if done {
                let mut dead = std::mem::take(dead);
                dead.sort_unstable();
                run.phase = Phase::Rows(RowsPhase {
                    dead,
                    deleted: 0,
                    hashing: (core.options.compaction_hash && !run.job.resumed)
                        .then(|| (Bytes::new(), CompactionHasher::new(run.job.previous))),
                });
            }
            (false, worked)
        }
        Phase::Rows(rows) => rows.step(core, run.job.at)?,
    };
    if !done {
        return Ok(Stepped { more: true, worked });
    }
    core.backend.force_commit()?;
    let run = running.take().expect("a step of it was just done");
    if let Phase::Rows(RowsPhase {
        hashing: Some((_, hasher)),
        ..
    }) = run.phase
    {
        core.hashes.store(HashKv {
            hash: hasher.finish(),
            compact_revision: run.job.previous,
            hash_revision: run.job.at,
            current_revision: run.job.at,
        });
    }
    drop(running);
    Counters::add(&core.counters.compactions, 1);
    let done = core.compactor.queue.lock().finish(run.job.at);
    done.call();
    core.report(CompactionStep::Finished {
        revision: run.job.at,
        took_ms: core.options.clock.now_ms().saturating_sub(run.started_ms),
    });
    let more = !core.compactor.queue.lock().jobs.is_empty();
    Ok(Stepped { more, worked })
}

/// Lets the index forget a part; true when nothing is left in it.
fn step_index(core: &Core, at: i64, dead: &mut Vec<RowKey>) -> (bool, Duration) {
    let mut left = core.options.compaction_batch_limit.max(1);
    let mut worked = Duration::ZERO;
    loop {
        let slice = left.min(SLICE);
        let mut writer = core.writer.lock();
        let start = Instant::now();
        let done = writer.index.compact_some(at, slice, dead);
        core.publish(&mut writer);
        let held = start.elapsed();
        drop(writer);
        worked += held;
        core.report(CompactionStep::Index { held });
        left -= slice;
        if done || left == 0 {
            return (done, worked);
        }
    }
}

impl RowsPhase {
    /// Deletes and hashes a part; true when everything up to `at` was done.
    fn step(&mut self, core: &Core, at: i64) -> Result<(bool, Duration)> {
        let start = Instant::now();
        let limit = core.options.compaction_batch_limit.max(1);
        let from = self.deleted;
        let (to, done) = match &mut self.hashing {
            None => {
                let to = self.dead.len().min(from + limit);
                (to, to == self.dead.len())
            }
            Some((next, hasher)) => hash_some(core, at, limit, &self.dead, from, next, hasher)?,
        };
        let mut took = start.elapsed();
        for slice in self.dead[from..to].chunks(SLICE) {
            let mut guard = core.backend.begin();
            let start = Instant::now();
            for row in slice {
                guard.delete(KEY, row.encode());
            }
            guard.end();
            took += start.elapsed();
        }
        if done {
            let mut guard = core.backend.begin();
            schema::set_compaction(&mut guard, META_FINISHED_COMPACT, at);
            guard.end();
        }
        self.deleted = to;
        let deleted = to - from;
        Counters::add(&core.counters.compacted_rows, deleted as u64);
        core.report(CompactionStep::Rows { deleted, took });
        Ok((done, took))
    }
}

/// Hashes rows from `next` on, until `limit` of them die or many were read. Returns how many of `dead`
/// are behind the scan now, and whether the scan has passed `at`.
fn hash_some(
    core: &Core,
    at: i64,
    limit: usize,
    dead: &[RowKey],
    mut passed: usize,
    next: &mut Bytes,
    hasher: &mut CompactionHasher,
) -> Result<(usize, bool)> {
    let range = KeyRange {
        start: next.clone(),
        end: at
            .checked_add(1)
            .map(|end| RowKey::put(Revision::new(end, 0)).encode()),
    };
    let most_dead = passed.saturating_add(limit);
    // A fresh view per step pins nothing for long. It shows what the first one would have: below
    // `at`, only this compaction deletes rows, and those behind the scan.
    let view = core.backend.view();
    let mut rows = view.scan(KEY, &range, Direction::Forward)?;
    let mut read = 0;
    while let Some((key, value)) = rows.next()? {
        if passed == most_dead || read == limit.saturating_mul(READS_PER_DELETE) {
            *next = key;
            return Ok((passed, false));
        }
        let row = RowKey::decode(&key)?;
        // Rows that die but are not there any more were deleted by an earlier process.
        while dead.get(passed).is_some_and(|dies| *dies < row) {
            passed += 1;
        }
        let dies = dead.get(passed) == Some(&row);
        passed += usize::from(dies);
        hasher.add(row, &key, &value, dies);
        read += 1;
    }
    Ok((dead.len(), true))
}

impl Core {
    fn report(&self, step: CompactionStep) {
        if let Some(observer) = &self.options.on_compaction {
            observer(step);
        }
    }

    /// Rows removed by compactions so far.
    pub(crate) fn compacted_rows(&self) -> u64 {
        self.counters.compacted_rows.load(Ordering::Relaxed)
    }
}
