//! The server's own log and snapshot files on a simulated disk, used as its driver uses them.

use std::path::Path;

use varve_proto::raftpb::{HardState, Snapshot};
use varve_proto::walpb;
use varve_snap::Snapshotter;
use varve_vfs::{DynFs, Fs as _, SimFs};
use varve_wal::{Appender, Replay, Wal, WalOptions};

use super::{Recovered, StoreResult, Write};

const WAL_DIR: &str = "/member/wal";
const SNAP_DIR: &str = "/member/snap";

/// Small, so that segments are cut and released in the course of a schedule.
const SEGMENT_BYTES: u64 = 2048;

#[derive(Debug)]
pub(in crate::raft) struct WalStore {
    fs: DynFs,
    appender: Appender,
    snapshotter: Snapshotter,
    state: HardState,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn options() -> WalOptions {
    WalOptions {
        segment_size_bytes: SEGMENT_BYTES,
        // No threads in a simulation.
        inline_pipeline: true,
        ..WalOptions::default()
    }
}

impl WalStore {
    pub(super) fn create(fs: &SimFs) -> StoreResult<Self> {
        fs.create_dir_all(Path::new(SNAP_DIR), 0o700)
            .map_err(text)?;
        // Made before there is a log: the directory above is synced along with the log's.
        fs.sync_everything();
        let fs = fs.shared();
        let appender = Wal::create(&fs, Path::new(WAL_DIR), b"", options()).map_err(text)?;
        Ok(Self {
            snapshotter: Snapshotter::new(fs.clone(), SNAP_DIR),
            fs,
            appender,
            state: HardState::default(),
        })
    }

    pub(super) fn open(fs: &SimFs) -> StoreResult<(Self, Recovered)> {
        let fs = fs.shared();
        let dir = Path::new(WAL_DIR);
        let snapshotter = Snapshotter::new(fs.clone(), SNAP_DIR);
        snapshotter.clean_leftovers().map_err(text)?;
        let known = Wal::valid_snapshot_entries(&fs, dir).map_err(text)?;
        let snapshot = snapshotter
            .load_newest_valid(&known)
            .map_err(text)?
            .unwrap_or_default();
        let start = walpb::Snapshot {
            index: snapshot.metadata.index,
            term: snapshot.metadata.term,
            conf_state: None,
        };
        let (replay, appender) = match read_all(&fs, &start) {
            Err(error) if error.is_repairable() => {
                Wal::repair(&fs, dir).map_err(text)?;
                read_all(&fs, &start).map_err(text)?
            }
            result => result.map_err(text)?,
        };
        let state = replay.hard_state.unwrap_or_default();
        let found = Recovered {
            state,
            snapshot,
            entries: replay.entries,
        };
        let store = Self {
            fs,
            appender,
            snapshotter,
            state,
        };
        Ok((store, found))
    }

    pub(super) fn write(&mut self, write: Write<'_>) -> StoreResult<()> {
        if let Some(snapshot) = write.snapshot {
            // File, then record, then what follows: a state that counts on the snapshot must not be
            // found without it.
            self.snapshotter.save(snapshot).map_err(text)?;
            self.appender
                .save_snapshot(&record(snapshot))
                .map_err(text)?;
        }
        let saved = self
            .appender
            .save(write.state.as_ref(), write.entries, false);
        saved.map_err(text)?;
        self.state = write.state.unwrap_or(self.state);
        Ok(())
    }

    pub(super) fn sync(&mut self) -> StoreResult<()> {
        self.appender.sync().map_err(text)
    }

    pub(super) fn save_snapshot(&mut self, snapshot: &Snapshot) -> StoreResult<()> {
        self.snapshotter.save(snapshot).map_err(text)?;
        // A reader trusts a snapshot up to the last commit index it finds.
        let index = snapshot.metadata.index;
        self.state.commit = self.state.commit.max(index);
        self.appender
            .save(Some(&self.state), &[], false)
            .map_err(text)?;
        self.appender
            .save_snapshot(&record(snapshot))
            .map_err(text)?;
        self.appender.release_to(index).map_err(text)?;
        varve_wal::purge(&self.fs, Path::new(WAL_DIR), 1).map_err(text)?;
        self.snapshotter.purge(1).map_err(text)?;
        Ok(())
    }
}

fn record(snapshot: &Snapshot) -> walpb::Snapshot {
    walpb::Snapshot {
        index: snapshot.metadata.index,
        term: snapshot.metadata.term,
        conf_state: Some(snapshot.metadata.conf_state.clone()),
    }
}

fn read_all(fs: &DynFs, start: &walpb::Snapshot) -> Result<(Replay, Appender), varve_wal::Error> {
    Wal::open(fs, Path::new(WAL_DIR), start, options())?.read_all()
}
