//! The loops of the raft, the WAL and the apply thread.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use varve_proto::raftpb::{
    ConfChangeV2, ConfState, Entry, EntryType, Message, Snapshot, SnapshotMetadata,
};

use crate::driver::{Driver, Work, take_responses};
use crate::event::Event;
use crate::log_writer::{AppendJob, LogWriter};
use crate::mailbox::Mailbox;
use crate::snapshotter::Job as SnapshotJob;
use crate::state_machine::{Fatal, Observer, Reconfigure, StateMachine};
use crate::status::Published;

/// Completions of fewer bytes than this do not wake the raft thread by themselves: it learns of them
/// at its next turn, at the latest with the next tick.
const QUIET_BYTES: usize = 256 << 10;

pub(crate) struct RaftThread {
    pub(crate) driver: Driver,
    pub(crate) events: Arc<Mailbox<Event>>,
    pub(crate) wal_jobs: Arc<Mailbox<AppendJob>>,
    pub(crate) apply_jobs: Arc<Mailbox<Message>>,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) writer: Arc<LogWriter>,
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
            let few = outside.len() <= 1;
            self.driver.outside(outside.drain(..));
            self.hand_out(&mut work, few)?;
            if let Some(error) = self.driver.failure() {
                return Err(error.clone().into());
            }
        }
    }

    /// Passes on what the core wants done. With `few` requests in this turn and an idle WAL thread the
    /// write happens here: handing it over would cost two thread switches and win nothing.
    fn hand_out(&mut self, work: &mut Work, few: bool) -> Result<(), Fatal> {
        loop {
            self.driver.ready(work);
            for apply in work.applies.drain(..) {
                self.apply_jobs.push(apply);
            }
            work.appends.retain(|job| !self.writer.defer(job));
            if work.appends.is_empty() {
                return Ok(());
            }
            if !few || self.driver.appends_in_flight > 0 {
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

pub(crate) struct ApplyThread {
    pub(crate) jobs: Arc<Mailbox<Message>>,
    pub(crate) state_machine: Box<dyn StateMachine>,
    pub(crate) raft: Arc<Mailbox<Event>>,
    pub(crate) published: Arc<Published>,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) snapshot_count: u64,
    pub(crate) snapshot_index: u64,
    pub(crate) conf_state: ConfState,
}

impl ApplyThread {
    pub(crate) fn run(mut self) {
        if let Err(error) = self.serve() {
            self.raft.push(Event::Failed(error));
        }
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        let (mut jobs, mut none) = (Vec::new(), Vec::new());
        let mut quiet_bytes = 0;
        loop {
            self.jobs.drain(&mut jobs, &mut none, false, None);
            if jobs.is_empty() {
                return Ok(());
            }
            for job in &jobs {
                quiet_bytes += self.apply(&job.entries)?;
            }
            let responses = take_responses(&mut jobs);
            jobs.clear();
            let event = Event::Applied { responses };
            if quiet_bytes < QUIET_BYTES {
                self.raft.push_quietly(event);
            } else {
                quiet_bytes = 0;
                self.raft.push(event);
            }
        }
    }

    /// Applies entries and returns their size; starts a raft snapshot when one is due.
    fn apply(&mut self, entries: &[Entry]) -> Result<usize, Fatal> {
        let Some(last) = entries.last() else {
            return Ok(0);
        };
        let mut raft = RaftHandle {
            raft: &self.raft,
            conf_state: &mut self.conf_state,
        };
        self.state_machine.apply(entries, &mut raft)?;
        self.published
            .applied_term
            .store(last.term, Ordering::SeqCst);
        self.published.applied.advance(last.index);
        if last.index - self.snapshot_index > self.snapshot_count {
            self.start_snapshot(last.index, last.term)?;
        }
        let changes = entries
            .iter()
            .any(|e| e.r#type != EntryType::EntryNormal as i32);
        let bytes: usize = entries
            .iter()
            .map(|e| e.data.as_ref().map_or(0, bytes::Bytes::len))
            .sum();
        // After a conf change the core must learn at once that it was applied.
        Ok(if changes { QUIET_BYTES } else { bytes })
    }

    fn start_snapshot(&mut self, index: u64, term: u64) -> Result<(), Fatal> {
        let pending = self.state_machine.snapshot()?;
        let metadata = SnapshotMetadata {
            conf_state: self.conf_state.clone(),
            index,
            term,
        };
        let snapshot = Snapshot {
            data: Some(pending.data),
            metadata,
        };
        self.snapshot_index = index;
        self.snapshot_jobs.push(SnapshotJob {
            snapshot,
            make_durable: pending.make_durable,
        });
        Ok(())
    }
}

struct RaftHandle<'a> {
    raft: &'a Mailbox<Event>,
    conf_state: &'a mut ConfState,
}

impl Reconfigure for RaftHandle<'_> {
    fn apply_conf_change(&mut self, change: ConfChangeV2) -> Result<ConfState, Fatal> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.raft.push(Event::ApplyConfChange { change, reply });
        let conf_state = answer.recv().map_err(|_| "the raft thread has stopped")?;
        self.conf_state.clone_from(&conf_state);
        Ok(conf_state)
    }
}
