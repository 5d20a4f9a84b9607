//! Writes what the consensus core wants to be durable: several appends with one sync.
//!
//! Used by the WAL thread, by the raft thread when nothing else waits (a queue of one is written
//! inline, which saves two thread switches), and by the snapshot thread; a lock orders them.
//!
//! # Invariants
//! 1. Entries are visible in [`LogStore`] only after they are durable.
//! 2. A hard state in which only the commit index moved is not written by itself: losing it loses
//!    nothing, since the leader commits again. It goes out with the next batch, and always before a
//!    snapshot record, because a reader trusts only snapshots at or below the last commit it finds.
use std::time::Instant;

use parking_lot::Mutex;
use varve_proto::raftpb::{HardState, Message};
use varve_proto::walpb;
use varve_wal::Appender;

use crate::log_store::LogStore;
use crate::state_machine::WalWrite;

/// What the raft thread wants written.
pub(crate) type AppendJob = Message;

#[derive(Debug)]
struct Inner {
    appender: Appender,
    /// The state as last written.
    written: HardState,
    /// A newer commit index that is not written yet.
    unwritten: Option<HardState>,
}

/// The one way to the WAL.
#[derive(Debug)]
pub(crate) struct LogWriter {
    inner: Mutex<Inner>,
    log: LogStore,
}

/// The hard state that an append carries, if it carries one.
fn hard_state_of(job: &AppendJob) -> Option<HardState> {
    let state = HardState {
        term: job.term,
        vote: job.vote,
        commit: job.commit,
    };
    (state != HardState::default()).then_some(state)
}

impl LogWriter {
    pub(crate) fn new(appender: Appender, log: LogStore, written: HardState) -> Self {
        Self {
            inner: Mutex::new(Inner {
                appender,
                written,
                unwritten: None,
            }),
            log,
        }
    }

    /// Keeps a state in which only the commit index differs from the last, when that is all `job`
    /// holds. False means: the job must be written.
    pub(crate) fn defer(&self, job: &AppendJob) -> bool {
        if !job.entries.is_empty() || job.snapshot.is_some() || !job.responses.is_empty() {
            return false;
        }
        let Some(state) = hard_state_of(job) else {
            return true;
        };
        let mut inner = self.inner.lock();
        if state.term != inner.written.term || state.vote != inner.written.vote {
            return false;
        }
        inner.unwritten = Some(state);
        true
    }

    /// Writes the jobs in order and syncs once. The log store has them afterwards.
    pub(crate) fn write(&self, jobs: &[AppendJob]) -> Result<WalWrite, varve_wal::Error> {
        let start = Instant::now();
        let mut stats = WalWrite::default();
        let mut inner = self.inner.lock();
        let mut sync = false;
        let mut latest = None;
        for (at, job) in jobs.iter().enumerate() {
            let state = hard_state_of(job);
            if let Some(state) = &state {
                sync |= state.term != inner.written.term || state.vote != inner.written.vote;
                latest = Some(*state);
                inner.unwritten = None;
            }
            sync |= !job.entries.is_empty();
            let state = state.or_else(|| inner.unwritten.take());
            let last = at + 1 == jobs.len();
            let saved = inner
                .appender
                .save(state.as_ref(), &job.entries, sync && last)?;
            if let Some(state) = state {
                inner.written = state;
            }
            stats.entries += job.entries.len();
            stats.bytes += saved.written_bytes;
        }
        drop(inner);
        for job in jobs {
            self.log.append(&job.entries);
        }
        if let Some(state) = latest {
            self.log.set_hard_state(state);
        }
        stats.synced = sync;
        stats.duration = start.elapsed();
        Ok(stats)
    }

    /// Writes a snapshot record, durable on return, and lets go of the segments before it.
    pub(crate) fn save_snapshot(&self, snapshot: &walpb::Snapshot) -> Result<(), varve_wal::Error> {
        let mut inner = self.inner.lock();
        let mut state = inner.unwritten.take().unwrap_or(inner.written);
        // Everything in a snapshot was committed.
        state.commit = state.commit.max(snapshot.index);
        inner.appender.save(Some(&state), &[], false)?;
        inner.written = state;
        inner.appender.save_snapshot(snapshot)?;
        inner.appender.release_to(snapshot.index)
    }

    /// Writes what was put off and syncs: a clean stop.
    pub(crate) fn flush(&self) -> Result<(), varve_wal::Error> {
        let mut inner = self.inner.lock();
        if let Some(state) = inner.unwritten.take() {
            inner.appender.save(Some(&state), &[], false)?;
            inner.written = state;
        }
        inner.appender.sync()
    }
}
