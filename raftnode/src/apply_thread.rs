//! The apply thread: committed entries into the state machine, raft snapshots when they are due.
//!
//! # Invariants
//! 1. Entries are applied in log order, by whichever thread holds [`ApplyWork`]: the raft thread takes it
//!    only while nothing waits for the apply thread.
//! 2. A conf change is applied on the apply thread, since it waits for the raft thread's answer.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use varve_proto::raftpb::{
    ConfChangeV2, ConfState, Entry, EntryType, Message, Snapshot, SnapshotMetadata,
};

use crate::driver::take_responses;
use crate::event::Event;
use crate::mailbox::Mailbox;
use crate::snapshotter::Job as SnapshotJob;
use crate::state_machine::{Fatal, Reconfigure, StateMachine};
use crate::status::Published;

/// Completions of fewer bytes than this do not wake the raft thread by themselves: it learns of them
/// at its next turn, at the latest with the next tick.
const QUIET_BYTES: usize = 256 << 10;

pub(crate) struct ApplyThread {
    pub(crate) jobs: Arc<Mailbox<Message>>,
    pub(crate) work: Arc<Mutex<ApplyWork>>,
    pub(crate) raft: Arc<Mailbox<Event>>,
}

/// The state machine and what is counted around it.
pub(crate) struct ApplyWork {
    pub(crate) state_machine: Box<dyn StateMachine>,
    pub(crate) published: Arc<Published>,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) snapshot_count: u64,
    pub(crate) snapshot_index: u64,
    pub(crate) conf_state: ConfState,
}

impl ApplyThread {
    pub(crate) fn run(self) {
        if let Err(error) = self.serve() {
            self.raft.push(Event::Failed(error));
        }
    }

    fn serve(&self) -> Result<(), Fatal> {
        let (mut jobs, mut none) = (Vec::new(), Vec::new());
        let mut quiet_bytes = 0;
        loop {
            self.jobs.drain(&mut jobs, &mut none, false, None);
            if jobs.is_empty() {
                return Ok(());
            }
            let mut work = self.work.lock();
            for job in &jobs {
                quiet_bytes += work.apply(&job.entries, &self.raft)?;
            }
            drop(work);
            let event = Event::Applied {
                jobs: jobs.len(),
                responses: take_responses(&mut jobs),
            };
            jobs.clear();
            if quiet_bytes < QUIET_BYTES {
                self.raft.push_quietly(event);
            } else {
                quiet_bytes = 0;
                self.raft.push(event);
            }
        }
    }
}

impl ApplyWork {
    /// Applies normal entries on the raft thread.
    pub(crate) fn apply_normal(&mut self, entries: &[Entry]) -> Result<(), Fatal> {
        self.state_machine.apply(entries, &mut NoConfChange)?;
        self.applied(entries)
    }

    /// Applies entries and returns their size.
    fn apply(&mut self, entries: &[Entry], raft: &Mailbox<Event>) -> Result<usize, Fatal> {
        let mut reconfigure = RaftHandle {
            raft,
            conf_state: &mut self.conf_state,
        };
        self.state_machine.apply(entries, &mut reconfigure)?;
        self.applied(entries)?;
        let changes = entries
            .iter()
            .any(|e| e.r#type != EntryType::EntryNormal as i32);
        let bytes = entries
            .iter()
            .map(|e| e.data.as_ref().map_or(0, bytes::Bytes::len))
            .sum();
        // After a conf change the core must learn at once that it was applied.
        Ok(if changes { QUIET_BYTES } else { bytes })
    }

    /// Makes known that entries were applied; starts a raft snapshot when one is due.
    fn applied(&mut self, entries: &[Entry]) -> Result<(), Fatal> {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        self.published
            .applied_term
            .store(last.term, Ordering::SeqCst);
        self.published.applied.advance(last.index);
        if last.index - self.snapshot_index > self.snapshot_count {
            self.start_snapshot(last.index, last.term)?;
        }
        Ok(())
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

/// For entries among which there is no conf change.
struct NoConfChange;

impl Reconfigure for NoConfChange {
    fn apply_conf_change(&mut self, _: ConfChangeV2) -> Result<ConfState, Fatal> {
        Err("a normal entry asked for a conf change".into())
    }
}
