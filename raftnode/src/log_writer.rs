//! Writes what the consensus core wants to be durable: several appends with one sync.
//!
//! Used by whoever holds the log's seat (`log_seat`: the WAL thread, or a thread that spares it a switch) and by
//! the snapshot thread; a lock orders them.
//!
//! # Invariants
//! 1. Entries are visible in [`LogStore`] only after they are durable.
//! 2. A received snapshot is written in the order in which a crash between any two steps leaves a directory
//!    that boots: its `.snap` file, its record, and only then the hard state whose commit index makes the
//!    record count. (Its database was durable before the core was told.)
//! 3. A hard state in which only the commit index moved is not written by itself: losing it loses
//!    nothing, since the leader commits again. It goes out with the next batch, and always before a
//!    snapshot record, because a reader trusts only snapshots at or below the last commit it finds.
use std::time::Instant;

use parking_lot::Mutex;
use varve_proto::raftpb::{HardState, Message, Snapshot};
use varve_proto::walpb;
use varve_snap::Snapshotter;
use varve_wal::Appender;

use crate::log_store::LogStore;
use crate::state_machine::{Fatal, WalWrite};

/// What the raft thread wants written.
pub(crate) type AppendJob = Message;

#[derive(Debug)]
struct Inner {
    appender: Appender,
    /// The state as last written.
    written: HardState,
}

/// What is put off. Under a lock of its own: whoever puts something off must not wait for a write under way.
#[derive(Debug)]
struct PutOff {
    /// Term and vote as last written.
    written: (u64, u64),
    /// A newer commit index that is not written yet.
    state: Option<HardState>,
}

/// The one way to the WAL.
#[derive(Debug)]
pub(crate) struct LogWriter {
    inner: Mutex<Inner>,
    /// Taken after `inner` where both are.
    put_off: Mutex<PutOff>,
    log: LogStore,
    snapshotter: Snapshotter,
}

impl PutOff {
    /// The state that was put off, for a log that ends at `end` and whose last state is `written`. It may be
    /// ahead of the log: others commit what is still to be written here. A commit index behind the end would
    /// keep the log from opening, so as much of it as fits is taken and the rest stays.
    fn take(&mut self, written: HardState, end: u64) -> Option<HardState> {
        let mut state = self.state.take()?;
        if state.commit > end {
            self.state = Some(state);
            state.commit = end.max(written.commit);
        }
        (state != written).then_some(state)
    }

    /// This state goes to the log. What was put off is forgotten, unless it came later.
    fn replaced(&mut self, by: HardState) {
        let later = |put_off: &HardState| {
            (put_off.term, put_off.vote) == (by.term, by.vote) && put_off.commit > by.commit
        };
        if !self.state.as_ref().is_some_and(later) {
            self.state = None;
        }
    }
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

/// What the log says of a snapshot.
fn record_of(snapshot: &Snapshot) -> walpb::Snapshot {
    walpb::Snapshot {
        index: snapshot.metadata.index,
        term: snapshot.metadata.term,
        conf_state: Some(snapshot.metadata.conf_state.clone()),
    }
}

impl LogWriter {
    pub(crate) fn new(
        appender: Appender,
        log: LogStore,
        snapshotter: Snapshotter,
        written: HardState,
    ) -> Self {
        Self {
            inner: Mutex::new(Inner { appender, written }),
            put_off: Mutex::new(PutOff {
                written: (written.term, written.vote),
                state: None,
            }),
            log,
            snapshotter,
        }
    }

    /// Keeps a state in which only the commit index differs from the last, when that is all `job` wants
    /// written. False means: the job must be written. Never waits for the disk. Responses of such a job vouch
    /// for everything that was handed out before them, all the same.
    pub(crate) fn defer(&self, job: &AppendJob) -> bool {
        if !job.entries.is_empty() || job.snapshot.is_some() {
            return false;
        }
        let Some(state) = hard_state_of(job) else {
            return true;
        };
        let mut put_off = self.put_off.lock();
        if (state.term, state.vote) != put_off.written {
            return false;
        }
        put_off.state = Some(state);
        true
    }

    /// Writes the jobs in order, those between two snapshots in one piece, and syncs once. The log store
    /// has them afterwards.
    pub(crate) fn write(&self, jobs: &[AppendJob]) -> Result<WalWrite, Fatal> {
        let start = Instant::now();
        let mut stats = WalWrite::default();
        let mut inner = self.inner.lock();
        let mut sync = false;
        let mut latest = None;
        let mut left = jobs.len();
        for piece in jobs.chunk_by(|_, next| next.snapshot.is_none()) {
            left -= piece.len();
            if let Some(snapshot) = piece.first().and_then(|job| job.snapshot.as_ref()) {
                self.snapshotter.save(snapshot)?;
                inner.appender.save_snapshot(&record_of(snapshot))?;
                sync = true;
            }
            let mut state = None;
            for given in piece.iter().filter_map(hard_state_of) {
                sync |= given.term != inner.written.term || given.vote != inner.written.vote;
                state = Some(given);
            }
            if let Some(state) = state {
                latest = Some(state);
                self.put_off.lock().replaced(state);
            }
            let entries = || piece.iter().flat_map(|job| &job.entries);
            sync |= entries().next().is_some();
            let end = entries()
                .last()
                .map_or_else(|| inner.appender.last_index(), |e| e.index);
            let state = state.or_else(|| self.put_off.lock().take(inner.written, end));
            let saved = inner
                .appender
                .save(state.as_ref(), entries(), sync && left == 0)?;
            if let Some(state) = state {
                self.wrote(&mut inner, state);
            }
            stats.entries += entries().count();
            stats.bytes += saved.written_bytes;
        }
        drop(inner);
        for job in jobs {
            if let Some(snapshot) = &job.snapshot {
                self.log.restore(snapshot.clone());
            }
            self.log.append(&job.entries);
        }
        if let Some(state) = latest {
            self.log.set_hard_state(state);
        }
        stats.synced = sync;
        stats.duration = start.elapsed();
        Ok(stats)
    }

    /// Writes the record of a snapshot whose file is durable; durable on return.
    pub(crate) fn save_snapshot(&self, snapshot: &Snapshot) -> Result<(), varve_wal::Error> {
        let mut inner = self.inner.lock();
        let end = inner.appender.last_index();
        let put_off = self.put_off.lock().take(inner.written, end);
        let mut state = put_off.unwrap_or(inner.written);
        // Everything in a snapshot was committed.
        state.commit = state.commit.max(snapshot.metadata.index);
        inner.appender.save(Some(&state), &[], false)?;
        self.wrote(&mut inner, state);
        inner.appender.save_snapshot(&record_of(snapshot))
    }

    /// Lets go of the segments that hold nothing behind this index, so that a purge may remove them.
    pub(crate) fn release_to(&self, index: u64) -> Result<(), varve_wal::Error> {
        self.inner.lock().appender.release_to(index)
    }

    /// Writes what was put off and syncs: a clean stop.
    pub(crate) fn flush(&self) -> Result<(), varve_wal::Error> {
        let mut inner = self.inner.lock();
        let end = inner.appender.last_index();
        let put_off = self.put_off.lock().take(inner.written, end);
        if let Some(state) = put_off {
            inner.appender.save(Some(&state), &[], false)?;
            self.wrote(&mut inner, state);
        }
        inner.appender.sync()
    }

    /// A state stands in the log.
    fn wrote(&self, inner: &mut Inner, state: HardState) {
        inner.written = state;
        self.put_off.lock().written = (state.term, state.vote);
    }
}

#[cfg(test)]
pub(crate) mod tests;
