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
use crate::driver::{Driver, Work};
use crate::event::{ApplyJob, Event};
use crate::log_seat::LogSeat;
use crate::log_writer::{AppendJob, LogWriter};
use crate::mailbox::{Mailbox, Outside};
use crate::snapshotter::Job as SnapshotJob;
use crate::state_machine::{Fatal, Observer};
use crate::status::Published;
use crate::turns::{Turns, Waits};

/// Entries of more bytes than this are not applied on the raft thread.
const INLINE_APPLY_BYTES: usize = 64 << 10;

/// More entries than this are not applied in a turn of a member that has peers: the apply thread works on
/// them beside the next turn.
const INLINE_APPLY_ENTRIES: usize = 4;

/// An append of more bytes than this is not written by who brought it.
const INLINE_WRITE_BYTES: usize = 16 << 10;

pub(crate) struct RaftThread {
    pub(crate) driver: Driver,
    pub(crate) clock: Arc<Clock>,
    pub(crate) published: Arc<Published>,
    pub(crate) events: Arc<Mailbox<Event>>,
    pub(crate) wal_jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) apply_jobs: Arc<Mailbox<ApplyJob>>,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) log: Arc<LogSeat>,
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
    /// Whether it holds the log's seat, and writes after this turn what is small and alone.
    pub(crate) may_write: bool,
    /// What it is to write.
    pub(crate) lent: Option<AppendJob>,
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

    /// One turn with what waits now. `may_block`: this thread may wait for the disk. `may_write`: it writes
    /// afterwards what it [is lent](Self::lent).
    pub(crate) fn take_turn(&mut self, may_block: bool, may_write: bool) -> Result<Turn, Fatal> {
        self.may_block = may_block;
        self.may_write = may_write;
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
        if let Err(error) = &result {
            self.observer.failed(&**error);
        }
        // Last: it waits for a write under way, and the disk may hang.
        self.log.close();
        if result.is_ok()
            && let Err(error) = self.writer.flush()
        {
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
                let lends = self.may_lend();
                self.driver.handed_to_wal(self.work.appends.len());
                if lends {
                    self.lent = self.work.appends.pop();
                }
                for job in self.work.appends.drain(..) {
                    self.wal_jobs.push(job);
                }
                return Ok(());
            }
            let jobs = std::mem::take(&mut self.work.appends);
            if let Some(Event::Appended { responses, .. }) = self.log.take().write(jobs)? {
                self.driver.release_responses(responses);
            }
        }
    }
}

impl RaftThread {
    /// The apply thread has nothing to do, and these entries need nobody but the state machine. Where there
    /// are peers they must not take long.
    fn may_apply_inline(&self, apply: &Message) -> bool {
        let entries = &apply.entries;
        self.driver.applies_in_flight == 0
            && entries
                .iter()
                .all(|e| e.r#type == EntryType::EntryNormal as i32)
            && entries.iter().map(payload_len).sum::<usize>() <= INLINE_APPLY_BYTES
            && (self.driver.is_sole_voter() && self.may_block
                || entries.len() <= INLINE_APPLY_ENTRIES && self.apply.lock().is_quick(entries))
    }

    /// Whether the thread of this turn is to write what there is to write: one small append of a follower,
    /// alone. A leader's workers serve clients, and its write runs beside those of its followers.
    fn may_lend(&self) -> bool {
        let [job] = &self.work.appends[..] else {
            return false;
        };
        self.may_write
            && self.driver.appends_in_flight == 0
            && self.driver.has_leader()
            && !self.driver.leads()
            && job.snapshot.is_none()
            && !job.entries.is_empty()
            && job.entries.iter().map(payload_len).sum::<usize>() <= INLINE_WRITE_BYTES
    }

    /// Takes out the appends that need no write. What answers them leaves once everything before them is
    /// durable: at once, with the append before them, or with those under way.
    fn put_off(&mut self) {
        let durable = self.driver.appends_in_flight == 0;
        let mut responses = Vec::new();
        let mut kept: Vec<AppendJob> = Vec::new();
        for mut job in self.work.appends.drain(..) {
            if !self.writer.defer(&job) {
                kept.push(job);
                continue;
            }
            match kept.last_mut() {
                Some(before) => before.responses.append(&mut job.responses),
                None => responses.append(&mut job.responses),
            }
        }
        self.work.appends = kept;
        if durable {
            self.driver.release_responses(responses);
        } else {
            self.driver.wait_for_appends(responses);
        }
    }
}

fn payload_len(entry: &Entry) -> usize {
    entry.data.as_ref().map_or(0, bytes::Bytes::len)
}

pub(crate) struct WalThread {
    pub(crate) jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) log: Arc<LogSeat>,
    pub(crate) raft: Arc<Mailbox<Event>>,
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
            match self.log.take().write(std::mem::take(&mut jobs)) {
                Ok(None) => return,
                Ok(Some(written)) => {
                    self.raft.push_quietly(written);
                    turns.help(Waits::Never);
                }
                Err(error) => return self.raft.push(Event::Failed(error)),
            }
        }
    }

    /// Writes appends with one sync, and tells the raft role.
    pub(crate) fn work_off(&self, jobs: Vec<AppendJob>) -> Result<(), Fatal> {
        if let Some(written) = self.log.take().write(jobs)? {
            self.raft.push(written);
        }
        Ok(())
    }
}
