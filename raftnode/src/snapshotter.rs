//! The snapshot thread: makes raft snapshots durable and lets go of the log before them.
//!
//! # Failure model
//! The steps are ordered so that a crash between any two leaves a directory that boots: the state
//! itself is durable first, then the `.snap` file, then the WAL record that makes it count, and only
//! then, when the raft thread has given up that part of the log, segments are released.
use std::path::PathBuf;
use std::sync::Arc;

use varve_proto::raftpb::Snapshot;
use varve_snap::Snapshotter;
use varve_vfs::DynFs;

use crate::event::Event;
use crate::log_writer::LogWriter;
use crate::mailbox::{Mailbox, Outside};
use crate::state_machine::Fatal;

/// What the snapshot thread does, in order.
pub(crate) enum Job {
    /// A snapshot that is to be saved.
    Save {
        snapshot: Snapshot,
        make_durable: Box<dyn FnOnce() -> Result<(), Fatal> + Send>,
    },
    /// The log up to this index is no longer needed.
    Release { index: u64 },
}

pub(crate) struct SnapshotThread {
    pub(crate) jobs: Arc<Mailbox<Job>>,
    pub(crate) snapshotter: Snapshotter,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) raft: Arc<Mailbox<Event>>,
    pub(crate) fs: DynFs,
    pub(crate) wal_dir: PathBuf,
    pub(crate) max_wals: usize,
    pub(crate) max_snapshots: usize,
}

impl SnapshotThread {
    pub(crate) fn run(self) {
        let (mut jobs, mut none) = (Vec::new(), Vec::new());
        loop {
            self.jobs.drain(&mut jobs, &mut none, Outside::Leave, None);
            if jobs.is_empty() {
                return;
            }
            if let Err(error) = self.work_off(&mut jobs) {
                return self.raft.push(Event::Failed(error));
            }
        }
    }

    /// Does jobs, in order.
    pub(crate) fn work_off(&self, jobs: &mut Vec<Job>) -> Result<(), Fatal> {
        for job in jobs.drain(..) {
            match job {
                Job::Save {
                    snapshot,
                    make_durable,
                } => self.save(snapshot, make_durable)?,
                Job::Release { index } => self.release(index)?,
            }
        }
        Ok(())
    }

    fn save(
        &self,
        snapshot: Snapshot,
        make_durable: Box<dyn FnOnce() -> Result<(), Fatal> + Send>,
    ) -> Result<(), Fatal> {
        let index = snapshot.metadata.index;
        make_durable()?;
        self.snapshotter.save(&snapshot)?;
        self.writer.save_snapshot(&snapshot)?;
        self.snapshotter.release_snap_dbs(index)?;
        if self.max_snapshots > 0 {
            self.snapshotter.purge(self.max_snapshots)?;
        }
        self.raft.push(Event::SnapshotSaved {
            snapshot: Box::new(snapshot),
        });
        Ok(())
    }

    fn release(&self, index: u64) -> Result<(), Fatal> {
        self.writer.release_to(index)?;
        if self.max_wals > 0 {
            varve_wal::purge(&self.fs, &self.wal_dir, self.max_wals)?;
        }
        Ok(())
    }
}
