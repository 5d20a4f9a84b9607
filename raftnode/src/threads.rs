//! The loops of the raft and the WAL thread.
//!
//! In a cluster of one voter the raft thread does the others' work itself as long as there is one request
//! at a time: it writes to the WAL and applies here, which saves four thread switches a request. With more
//! requests they run beside each other. Where there are peers the raft thread never waits for the disk:
//! it answers heartbeats and votes, and notices when the disk has stopped answering.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use varve_proto::raftpb::{Entry, EntryType, Message};

use crate::apply_thread::ApplyWork;
use crate::clock::Clock;
use crate::driver::{Driver, Work, take_responses};
use crate::event::{ApplyJob, Event};
use crate::log_writer::{AppendJob, LogWriter};
use crate::mailbox::{Mailbox, Outside};
use crate::snapshotter::Job as SnapshotJob;
use crate::state_machine::{Fatal, Observer, WalWrite};
use crate::status::Published;

/// Entries of more bytes than this are not applied on the raft thread.
const INLINE_APPLY_BYTES: usize = 64 << 10;

pub(crate) struct RaftThread {
    pub(crate) driver: Driver,
    pub(crate) clock: Arc<Clock>,
    pub(crate) published: Arc<Published>,
    pub(crate) events: Arc<Mailbox<Event>>,
    pub(crate) wal_jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) apply_jobs: Arc<Mailbox<ApplyJob>>,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) apply: Arc<Mutex<ApplyWork>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) tick: Duration,
    pub(crate) election_ticks: u32,
    /// When the next tick is due.
    pub(crate) next_tick: Duration,
    pub(crate) work: Work,
    pub(crate) inside: Vec<Event>,
    pub(crate) outside: Vec<Event>,
}

/// Whether the raft thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Continue,
    Stop,
}

impl RaftThread {
    pub(crate) fn run(mut self) {
        let result = self.serve();
        self.end(result);
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        self.begin()?;
        loop {
            let deadline = self.clock.instant(self.next_tick);
            let take_outside = self.driver.has_leader();
            let outside = match (take_outside, self.driver.gathers()) {
                (false, _) => Outside::Leave,
                (true, false) => Outside::Take,
                (true, true) => Outside::TakeUnhurried,
            };
            self.events
                .drain(&mut self.inside, &mut self.outside, outside, deadline);
            if self.turn()? == Turn::Stop {
                return Ok(());
            }
        }
    }

    /// Works off what the log of the start asks for.
    pub(crate) fn begin(&mut self) -> Result<(), Fatal> {
        let now = self.clock.now();
        self.published.ticked(now);
        self.next_tick = now + self.tick;
        self.hand_out(true)
    }

    /// One turn with what was taken from the mailbox; nothing here waits for other threads.
    pub(crate) fn turn(&mut self) -> Result<Turn, Fatal> {
        let now = self.clock.now();
        if now >= self.next_tick {
            self.tick(now);
        }
        for event in self.inside.drain(..) {
            match event {
                Event::Stop => return Ok(Turn::Stop),
                Event::Failed(error) => return Err(error),
                event => self.driver.inside(event, &mut self.work),
            }
        }
        let alone = self.outside.len() <= 1;
        self.driver.outside(self.outside.drain(..), &mut self.work);
        self.hand_out(alone)?;
        if let Some(error) = self.driver.failure() {
            return Err(error.clone().into());
        }
        Ok(if self.driver.is_over() {
            Turn::Stop
        } else {
            Turn::Continue
        })
    }

    /// After a pause one tick is made up for, not all that were missed: what arrived meanwhile has not
    /// been looked at yet, and a burst of ticks would start an election against a leader whose messages
    /// are waiting here.
    fn tick(&mut self, now: Duration) {
        let late = now.saturating_sub(self.next_tick);
        if self.driver.leads() && late > self.tick {
            tracing::warn!(
                expected = ?self.tick,
                exceeded = ?late,
                "leader failed to send out heartbeat on time; took too long, the machine or the disk may \
                 be overloaded"
            );
            self.observer.heartbeat_late(late);
        }
        if late >= self.tick * self.election_ticks {
            self.driver.was_paused();
        }
        self.published.ticked(now);
        self.driver.tick(&mut self.work);
        self.next_tick = (self.next_tick + self.tick).max(now);
    }

    /// Ends the other threads, too; a clean end leaves a log that is synced to its end.
    pub(crate) fn end(self, result: Result<(), Fatal>) {
        // Whoever waits learns that nothing comes: dropping the events drops their callbacks.
        drop(self.events.close());
        drop(self.wal_jobs.close());
        drop(self.apply_jobs.close());
        drop(self.snapshot_jobs.close());
        self.published.is_leader.store(false, Ordering::SeqCst);
        if let Err(error) = result {
            self.observer.failed(&*error);
        } else if let Err(error) = self.writer.flush() {
            self.observer.failed(&error);
        }
    }

    /// Passes on what the core wants done. `alone` says that this turn had one request at most.
    fn hand_out(&mut self, alone: bool) -> Result<(), Fatal> {
        loop {
            self.driver.ready(&mut self.work);
            if let Some(index) = self.work.release.take() {
                self.snapshot_jobs.push(SnapshotJob::Release { index });
            }
            for job in self.work.applies.drain(..) {
                match job {
                    ApplyJob::Entries(apply) if alone && may_apply_inline(&self.driver, &apply) => {
                        self.apply.lock().apply_normal(&apply.entries)?;
                        self.driver.release_responses(apply.responses);
                    }
                    job => {
                        self.driver.applies_in_flight += 1;
                        self.apply_jobs.push(job);
                    }
                }
            }
            self.put_off();
            if self.work.appends.is_empty() {
                if self.driver.is_idle() {
                    return Ok(());
                }
                continue;
            }
            // Without peers nothing else wants the raft thread while a batch is synced.
            if !self.driver.is_sole_voter() || self.driver.appends_in_flight > 0 {
                self.driver.handed_to_wal(self.work.appends.len());
                for job in self.work.appends.drain(..) {
                    self.wal_jobs.push(job);
                }
                return Ok(());
            }
            let jobs = std::mem::take(&mut self.work.appends);
            let (written, responses) = persist(&self.writer, jobs, &self.apply_jobs)?;
            self.observer.wal_written(written);
            self.driver.release_responses(responses);
        }
    }
}

impl RaftThread {
    /// Takes out the appends that need no write. What answers them leaves at once if everything before
    /// them is durable: an append of a leader without entries costs no way through the WAL thread.
    fn put_off(&mut self) {
        let mut durable = self.driver.appends_in_flight == 0;
        let mut responses = Vec::new();
        self.work.appends.retain_mut(|job| {
            let put_off = self.writer.defer(job, durable);
            if put_off {
                responses.append(&mut job.responses);
            } else {
                durable = false;
            }
            !put_off
        });
        self.driver.release_responses(responses);
    }
}

/// The apply thread has nothing to do, and these entries need nobody but the state machine.
fn may_apply_inline(driver: &Driver, apply: &Message) -> bool {
    let bytes = |e: &Entry| e.data.as_ref().map_or(0, bytes::Bytes::len);
    driver.applies_in_flight == 0
        && driver.is_sole_voter()
        && apply
            .entries
            .iter()
            .all(|e| e.r#type == EntryType::EntryNormal as i32)
        && apply.entries.iter().map(bytes).sum::<usize>() <= INLINE_APPLY_BYTES
}

/// Writes appends, passes received snapshots on to the apply thread, and gives the responses to release.
fn persist(
    writer: &LogWriter,
    mut jobs: Vec<AppendJob>,
    apply_jobs: &Mailbox<ApplyJob>,
) -> Result<(WalWrite, Vec<Message>), Fatal> {
    let written = writer.write(&jobs)?;
    for job in &mut jobs {
        // Before the response: the core hands out entries behind the snapshot once it has that.
        if let Some(snapshot) = job.snapshot.take() {
            apply_jobs.push(ApplyJob::Restore(snapshot));
        }
    }
    Ok((written, take_responses(&mut jobs)))
}

pub(crate) struct WalThread {
    pub(crate) jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) apply_jobs: Arc<Mailbox<ApplyJob>>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) raft: Arc<Mailbox<Event>>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl WalThread {
    pub(crate) fn run(self) {
        let (mut jobs, mut none) = (Vec::new(), Vec::new());
        loop {
            self.jobs.drain(&mut jobs, &mut none, Outside::Leave, None);
            if jobs.is_empty() {
                return;
            }
            if let Err(error) = self.work_off(std::mem::take(&mut jobs)) {
                return self.raft.push(Event::Failed(error));
            }
        }
    }

    /// Writes appends with one sync.
    pub(crate) fn work_off(&self, jobs: Vec<AppendJob>) -> Result<(), Fatal> {
        let count = jobs.len();
        let (written, responses) = persist(&self.writer, jobs, &self.apply_jobs)?;
        self.observer.wal_written(written);
        self.raft.push(Event::Appended {
            jobs: count,
            responses,
        });
        Ok(())
    }
}
