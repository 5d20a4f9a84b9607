//! The snapshot thread: makes raft snapshots durable and lets go of the log before them.
//!
//! # Failure model
//! The steps are ordered so that a crash between any two leaves a directory that boots: the state
//! itself is durable first, then the `.snap` file, then the WAL record that makes it count, and only
//! then segments and older snapshots are released.
use std::path::PathBuf;
use std::sync::Arc;

use varve_proto::raftpb::Snapshot;
use varve_proto::walpb;
use varve_snap::Snapshotter;
use varve_vfs::DynFs;

use crate::event::Event;
use crate::log_writer::LogWriter;
use crate::mailbox::Mailbox;
use crate::state_machine::Fatal;

pub(crate) struct Job {
    pub(crate) snapshot: Snapshot,
    pub(crate) make_durable: Box<dyn FnOnce() -> Result<(), Fatal> + Send>,
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
            self.jobs.drain(&mut jobs, &mut none, false, None);
            if jobs.is_empty() {
                return;
            }
            for job in jobs.drain(..) {
                if let Err(error) = self.save(job) {
                    return self.raft.push(Event::Failed(error));
                }
            }
        }
    }

    fn save(&self, job: Job) -> Result<(), Fatal> {
        let metadata = job.snapshot.metadata.clone();
        (job.make_durable)()?;
        self.snapshotter.save(&job.snapshot)?;
        self.writer.save_snapshot(&walpb::Snapshot {
            index: metadata.index,
            term: metadata.term,
            conf_state: Some(metadata.conf_state),
        })?;
        self.snapshotter.release_snap_dbs(metadata.index)?;
        self.raft.push(Event::SnapshotSaved {
            snapshot: Box::new(job.snapshot),
        });
        if self.max_wals > 0 {
            varve_wal::purge(&self.fs, &self.wal_dir, self.max_wals)?;
        }
        if self.max_snapshots > 0 {
            self.snapshotter.purge(self.max_snapshots)?;
        }
        Ok(())
    }
}
