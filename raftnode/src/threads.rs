//! A turn of the raft role, and the loop of the WAL thread.
//!
//! In a cluster of one voter the raft thread does the others' work itself as long as there is one request
//! at a time: it writes to the WAL and applies here, which saves four thread switches a request. With more
//! requests they run beside each other. Where there are peers no turn waits for the disk: heartbeats and
//! votes are answered meanwhile, and it is noticed when the disk has stopped answering. Which thread takes a
//! turn: `turns`.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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
use crate::turns::Turns;

/// Entries of more bytes than this are not applied on the raft thread.
const INLINE_APPLY_BYTES: usize = 64 << 10;

/// More entries than this are not applied in a turn of a member that has peers: the apply thread works on
/// them beside the next turn.
const INLINE_APPLY_ENTRIES: usize = 4;

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
    /// Whether the thread that takes this turn may wait for the disk.
    pub(crate) may_block: bool,
}

/// Whether the raft thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Continue,
    Stop,
}

impl RaftThread {
    /// When there is a turn to take although nothing arrives.
    pub(crate) fn wakes_at(&self) -> Duration {
        let held = self.driver.held_until();
        held.map_or(self.next_tick, |at| at.min(self.next_tick))
    }

    /// The same for a sleeper.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.clock.instant(self.wakes_at())
    }

    /// One turn with what waits now. `may_block`: this thread may wait for the disk.
    pub(crate) fn take_turn(&mut self, may_block: bool) -> Result<Turn, Fatal> {
        self.may_block = may_block;
        let take_outside = self.driver.has_leader();
        self.events
            .take(&mut self.inside, &mut self.outside, take_outside);
        let turn = self.turn()?;
        self.events
            .want(match (self.driver.has_leader(), self.driver.gathers()) {
                (false, _) => Outside::Leave,
                (true, false) => Outside::Take,
                (true, true) => Outside::TakeUnhurried,
            });
        Ok(turn)
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
        self.driver.set_time(now);
        if now >= self.next_tick {
            self.tick(now);
        }
        for event in self.inside.drain(..) {
            match event {
                Event::Stop => {
                    self.driver.send_held(true);
                    return Ok(Turn::Stop);
                }
                Event::Failed(error) => return Err(error),
                event => self.driver.inside(event, &mut self.work),
            }
        }
        let alone = self.outside.len() <= 1;
        self.driver.outside(self.outside.drain(..), &mut self.work);
        self.hand_out(alone)?;
        // Last: what this turn had to say may have said it.
        self.driver.send_held(false);
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
            let mut applies = std::mem::take(&mut self.work.applies);
            for job in applies.drain(..) {
                match job {
                    ApplyJob::Entries(apply) if alone && self.may_apply_inline(&apply) => {
                        self.apply.lock().apply_normal(&apply.entries)?;
                        self.driver.release_responses(apply.responses);
                    }
                    job => {
                        self.driver.applies_in_flight += 1;
                        self.apply_jobs.push(job);
                    }
                }
            }
            self.work.applies = applies;
            self.put_off();
            if self.work.appends.is_empty() {
                if self.driver.is_idle() {
                    return Ok(());
                }
                continue;
            }
            // Without peers nothing else wants the raft thread while a batch is synced.
            let write_here = self.may_block && self.driver.is_sole_voter();
            if !write_here || self.driver.appends_in_flight > 0 {
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
    /// The apply thread has nothing to do, and these entries need nobody but the state machine. Where there
    /// are peers they must not take long.
    fn may_apply_inline(&self, apply: &Message) -> bool {
        let entries = &apply.entries;
        let bytes = |e: &Entry| e.data.as_ref().map_or(0, bytes::Bytes::len);
        self.driver.applies_in_flight == 0
            && entries
                .iter()
                .all(|e| e.r#type == EntryType::EntryNormal as i32)
            && entries.iter().map(bytes).sum::<usize>() <= INLINE_APPLY_BYTES
            && (self.driver.is_sole_voter() && self.may_block
                || entries.len() <= INLINE_APPLY_ENTRIES && self.apply.lock().is_quick(entries))
    }

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
    /// Writes until the raft thread ends, and works on what a write lets go on.
    pub(crate) fn run(self, turns: &Turns) {
        let (mut jobs, mut none) = (Vec::new(), Vec::new());
        loop {
            self.jobs.drain(&mut jobs, &mut none, Outside::Leave, None);
            if jobs.is_empty() {
                return;
            }
            match self.write(std::mem::take(&mut jobs)) {
                Ok(written) => {
                    self.raft.push_quietly(written);
                    turns.help();
                }
                Err(error) => return self.raft.push(Event::Failed(error)),
            }
        }
    }

    /// Writes appends with one sync, and tells the raft role.
    pub(crate) fn work_off(&self, jobs: Vec<AppendJob>) -> Result<(), Fatal> {
        let written = self.write(jobs)?;
        self.raft.push(written);
        Ok(())
    }

    fn write(&self, jobs: Vec<AppendJob>) -> Result<Event, Fatal> {
        let count = jobs.len();
        let (written, responses) = persist(&self.writer, jobs, &self.apply_jobs)?;
        self.observer.wal_written(written);
        Ok(Event::Appended {
            jobs: count,
            responses,
        })
    }
}
