//! The apply thread: committed entries into the state machine, raft snapshots when they are due, the state
//! out to members that lag and in from a leader that is ahead.
//!
//! # Invariants
//! 1. Jobs are done in order, by whichever thread holds [`ApplyWork`]: a turn of the raft role takes it only
//!    while nothing waits for the apply thread.
//! 2. A conf change is applied on the apply thread, since it waits for the raft thread's answer.
//! 3. A snapshot replaces the state only when its `.snap` file and its record are durable: whoever starts
//!    from a directory in which the database lags behind the snapshot finds the received one beside it.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use varve_proto::raftpb::{
    ConfChangeV2, ConfState, Entry, EntryType, Message, Snapshot, SnapshotMetadata,
};
use varve_snap::Snapshotter;

use crate::event::{ApplyJob, Event};
use crate::mailbox::{Mailbox, Outside};
use crate::snapshotter::Job as SnapshotJob;
use crate::state_machine::{Fatal, Reconfigure, StateMachine, Transport};
use crate::status::Published;

/// Completions of fewer bytes than this do not wake the raft thread by themselves: it learns of them
/// at its next turn, at the latest with the next tick.
const QUIET_BYTES: usize = 256 << 10;

pub(crate) struct ApplyThread {
    pub(crate) jobs: Arc<Mailbox<ApplyJob>>,
    pub(crate) work: Arc<Mutex<ApplyWork>>,
    pub(crate) raft: Arc<Mailbox<Event>>,
}

/// The state machine and what is counted around it.
pub(crate) struct ApplyWork {
    pub(crate) state_machine: Box<dyn StateMachine>,
    pub(crate) published: Arc<Published>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) snapshotter: Snapshotter,
    pub(crate) snapshot_jobs: Arc<Mailbox<SnapshotJob>>,
    pub(crate) snapshot_count: u64,
    pub(crate) snapshot_index: u64,
    pub(crate) conf_state: ConfState,
}

/// What a job leaves for the raft thread.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Responses to release.
    pub(crate) responses: Vec<Message>,
    /// Bytes that the core counts as being applied until it is told.
    bytes: usize,
    /// A member whose snapshot was not sent.
    pub(crate) not_sent: Option<u64>,
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
        let mut reconfigure = RaftHandle { raft: &self.raft };
        loop {
            self.jobs.drain(&mut jobs, &mut none, Outside::Leave, None);
            if jobs.is_empty() {
                return Ok(());
            }
            self.work_off(&mut jobs, &mut reconfigure, &mut quiet_bytes)?;
        }
    }

    /// Does jobs, in order, and tells the raft thread. `quiet_bytes` counts what it was not woken for.
    pub(crate) fn work_off(
        &self,
        jobs: &mut Vec<ApplyJob>,
        reconfigure: &mut dyn Reconfigure,
        quiet_bytes: &mut usize,
    ) -> Result<(), Fatal> {
        let count = jobs.len();
        let mut responses = Vec::new();
        let mut work = self.work.lock();
        for job in jobs.drain(..) {
            let mut outcome = work.run(job, reconfigure)?;
            *quiet_bytes += outcome.bytes;
            responses.append(&mut outcome.responses);
            if let Some(id) = outcome.not_sent {
                self.raft.push(Event::SnapshotSent { id, ok: false });
            }
        }
        drop(work);
        let event = Event::Applied {
            jobs: count,
            responses,
        };
        if *quiet_bytes < QUIET_BYTES {
            self.raft.push_quietly(event);
        } else {
            *quiet_bytes = 0;
            self.raft.push(event);
        }
        Ok(())
    }
}

impl ApplyWork {
    /// See [`StateMachine::is_quick`].
    pub(crate) fn is_quick(&self, entries: &[Entry]) -> bool {
        self.state_machine.is_quick(entries)
    }

    /// Applies normal entries in a turn of the raft role.
    pub(crate) fn apply_normal(&mut self, entries: &[Entry]) -> Result<(), Fatal> {
        self.state_machine.apply(entries, &mut NoConfChange)?;
        self.applied(entries)
    }

    /// Does one job.
    pub(crate) fn run(
        &mut self,
        job: ApplyJob,
        reconfigure: &mut dyn Reconfigure,
    ) -> Result<Outcome, Fatal> {
        match job {
            ApplyJob::Entries(mut message) => Ok(Outcome {
                bytes: self.apply(&message.entries, reconfigure)?,
                responses: std::mem::take(&mut message.responses),
                not_sent: None,
            }),
            ApplyJob::Restore(snapshot) => self.restore(&snapshot),
            ApplyJob::Export(message) => self.export(message),
        }
    }

    /// Applies entries and returns what they weigh.
    fn apply(
        &mut self,
        entries: &[Entry],
        reconfigure: &mut dyn Reconfigure,
    ) -> Result<usize, Fatal> {
        // A snapshot may have come before entries that it contains.
        let applied = self.published.applied.get();
        let known = entries.iter().take_while(|e| e.index <= applied).count();
        let entries = &entries[known..];
        let mut remember = Remember {
            inner: reconfigure,
            conf_state: &mut self.conf_state,
        };
        self.state_machine.apply(entries, &mut remember)?;
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
        self.snapshot_index = index;
        self.snapshot_jobs.push(SnapshotJob::Save {
            snapshot: Snapshot {
                data: Some(pending.data),
                metadata,
            },
            make_durable: pending.make_durable,
        });
        Ok(())
    }

    /// Replaces the state by a snapshot that the leader sent.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<Outcome, Fatal> {
        let SnapshotMetadata {
            index,
            term,
            conf_state,
        } = &snapshot.metadata;
        let applied = self.published.applied.get();
        if *index <= applied {
            return Err(format!(
                "unexpected leader snapshot from outdated index {index}: {applied} is applied"
            )
            .into());
        }
        let database = self.snapshotter.db_path(*index);
        tracing::info!(index, term, "applying snapshot");
        self.state_machine.restore(snapshot, &database)?;
        self.conf_state.clone_from(conf_state);
        self.snapshot_index = *index;
        self.published.applied_term.store(*term, Ordering::SeqCst);
        self.published.applied.advance(*index);
        tracing::info!(index, term, "applied snapshot");
        Ok(Outcome {
            bytes: QUIET_BYTES,
            ..Outcome::default()
        })
    }

    /// Sends the state to a member that lags. What the core chose as the snapshot is replaced by the state
    /// as it is now, whose index is the same or a later one: the only one of which there is a database.
    fn export(&mut self, mut message: Message) -> Result<Outcome, Fatal> {
        let to = message.to;
        let index = self.published.applied.get();
        let chosen = message.snapshot.as_ref().map_or(0, |s| s.metadata.index);
        if index < chosen || index < self.state_machine.durable_index() {
            // Replaying what an earlier run had applied: the database is ahead of the index, and the
            // receiver would apply the entries between them twice.
            tracing::info!(index, "no snapshot to send before the log is replayed");
            return Ok(Outcome {
                not_sent: Some(to),
                ..Outcome::default()
            });
        }
        let mut state = self.state_machine.export()?;
        let metadata = SnapshotMetadata {
            conf_state: self.conf_state.clone(),
            index,
            term: self.published.applied_term.load(Ordering::SeqCst),
        };
        message.snapshot = Some(Snapshot {
            data: Some(std::mem::take(&mut state.data)),
            metadata,
        });
        tracing::info!(index, to = %format_args!("{to:x}"), bytes = state.len, "sending snapshot");
        self.transport.send_snapshot(message, state);
        Ok(Outcome::default())
    }
}

/// Notes the configuration on the way.
struct Remember<'a> {
    inner: &'a mut dyn Reconfigure,
    conf_state: &'a mut ConfState,
}

impl Reconfigure for Remember<'_> {
    fn apply_conf_change(&mut self, index: u64, change: ConfChangeV2) -> Result<ConfState, Fatal> {
        let conf_state = self.inner.apply_conf_change(index, change)?;
        self.conf_state.clone_from(&conf_state);
        Ok(conf_state)
    }
}

struct RaftHandle<'a> {
    raft: &'a Mailbox<Event>,
}

impl Reconfigure for RaftHandle<'_> {
    fn apply_conf_change(&mut self, index: u64, change: ConfChangeV2) -> Result<ConfState, Fatal> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.raft.push(Event::ApplyConfChange {
            index,
            change,
            reply,
        });
        answer
            .recv()
            .map_err(|_| "the raft thread has stopped".into())
    }
}

/// For entries among which there is no conf change.
struct NoConfChange;

impl Reconfigure for NoConfChange {
    fn apply_conf_change(&mut self, _: u64, _: ConfChangeV2) -> Result<ConfState, Fatal> {
        Err("a normal entry asked for a conf change".into())
    }
}
