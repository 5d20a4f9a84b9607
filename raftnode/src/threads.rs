//! The loops of the raft and the WAL thread.
//!
//! With one request at a time the raft thread does the others' work itself: a queue of one is written
//! to the WAL here, and in a cluster of one voter applied here too, which saves four thread switches a
//! request. With more they run beside each other.
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use varve_proto::raftpb::{Entry, EntryType, Message};

use crate::apply_thread::ApplyWork;
use crate::driver::{Driver, Work, take_responses};
use crate::event::Event;
use crate::log_writer::{AppendJob, LogWriter};
use crate::mailbox::Mailbox;
use crate::snapshotter::Job as SnapshotJob;
use crate::state_machine::{Fatal, Observer};

/// Entries of more bytes than this are not applied on the raft thread.
const INLINE_APPLY_BYTES: usize = 64 << 10;

pub(crate) struct RaftThread {
    pub(crate) driver: Driver,
    pub(crate) events: Arc<Mailbox<Event>>,
    pub(crate) wal_jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) apply_jobs: Arc<Mailbox<Message>>,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) apply: Arc<Mutex<ApplyWork>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) tick: Duration,
    pub(crate) election_ticks: usize,
}

impl RaftThread {
    pub(crate) fn run(mut self) {
        let result = self.serve();
        // Whoever waits learns that nothing comes: dropping the events drops their callbacks.
        drop(self.events.close());
        drop(self.wal_jobs.close());
        drop(self.apply_jobs.close());
        drop(self.snapshot_jobs.close());
        if let Err(error) = result {
            self.observer.failed(&*error);
        } else if let Err(error) = self.writer.flush() {
            self.observer.failed(&error);
        }
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        let mut next_tick = Instant::now() + self.tick;
        let mut work = Work::default();
        self.hand_out(&mut work, true)?;
        loop {
            let take_outside = self.driver.has_leader();
            self.events
                .drain(&mut inside, &mut outside, take_outside, Some(next_tick));
            let now = Instant::now();
            if now >= next_tick {
                self.driver.tick();
                self.driver.trim_log();
                next_tick += self.tick;
                // After a long pause one election timeout of missed ticks is enough to know it.
                let missed = u32::try_from(self.election_ticks).unwrap_or(u32::MAX);
                next_tick = next_tick.max(now.checked_sub(self.tick * missed).unwrap_or(now));
            }
            for event in inside.drain(..) {
                match event {
                    Event::Stop => return Ok(()),
                    Event::Failed(error) => return Err(error),
                    event => self.driver.inside(event),
                }
            }
            let alone = outside.len() <= 1;
            self.driver.outside(outside.drain(..));
            self.hand_out(&mut work, alone)?;
            if let Some(error) = self.driver.failure() {
                return Err(error.clone().into());
            }
        }
    }

    /// Passes on what the core wants done. `alone` says that this turn had one request at most.
    fn hand_out(&mut self, work: &mut Work, alone: bool) -> Result<(), Fatal> {
        loop {
            self.driver.ready(work);
            for apply in work.applies.drain(..) {
                if alone && self.may_apply_inline(&apply) {
                    self.apply.lock().apply_normal(&apply.entries)?;
                    self.driver.release(apply.responses);
                } else {
                    self.driver.applies_in_flight += 1;
                    self.apply_jobs.push(apply);
                }
            }
            work.appends.retain(|job| !self.writer.defer(job));
            if work.appends.is_empty() {
                if self.driver.is_idle() {
                    return Ok(());
                }
                continue;
            }
            // Without peers nothing else wants the raft thread while a batch is synced.
            let inline = alone || self.driver.is_sole_voter();
            if !inline || self.driver.appends_in_flight > 0 {
                self.driver.appends_in_flight += work.appends.len();
                for job in work.appends.drain(..) {
                    self.wal_jobs.push(job);
                }
                return Ok(());
            }
            let mut jobs = std::mem::take(&mut work.appends);
            let written = self.writer.write(&jobs)?;
            self.observer.wal_written(written);
            self.driver.release(take_responses(&mut jobs));
        }
    }

    /// The apply thread has nothing to do, and these entries need nobody but the state machine.
    fn may_apply_inline(&self, apply: &Message) -> bool {
        let bytes = |e: &Entry| e.data.as_ref().map_or(0, bytes::Bytes::len);
        self.driver.applies_in_flight == 0
            && self.driver.is_sole_voter()
            && apply
                .entries
                .iter()
                .all(|e| e.r#type == EntryType::EntryNormal as i32)
            && apply.entries.iter().map(bytes).sum::<usize>() <= INLINE_APPLY_BYTES
    }
}

pub(crate) struct WalThread {
    pub(crate) jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) raft: Arc<Mailbox<Event>>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl WalThread {
    pub(crate) fn run(self) {
        let (mut jobs, mut none) = (Vec::new(), Vec::new());
        loop {
            self.jobs.drain(&mut jobs, &mut none, false, None);
            if jobs.is_empty() {
                return;
            }
            match self.writer.write(&jobs) {
                Ok(written) => {
                    self.observer.wal_written(written);
                    let responses = take_responses(&mut jobs);
                    self.raft.push(Event::Appended {
                        jobs: jobs.len(),
                        responses,
                    });
                    jobs.clear();
                }
                Err(error) => return self.raft.push(Event::Failed(Box::new(error))),
            }
        }
    }
}
