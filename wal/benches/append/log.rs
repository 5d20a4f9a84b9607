//! A log for one measurement, with entries of 256 bytes.
use std::path::PathBuf;

use varve_proto::raftpb::{Entry, HardState};
use varve_vfs::{DynFs, RealFs};
use varve_wal::{Appender, SaveStats, Wal, WalOptions, purge};

pub(crate) const ENTRY_BYTES: usize = 256;

/// Where logs are put.
pub(crate) fn scratch() -> tempfile::TempDir {
    let parent = std::env::var_os("VARVE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(parent).unwrap()
}

/// A log whose space does not grow with the number of batches.
pub(crate) struct Log {
    pub(crate) fs: DynFs,
    pub(crate) dir: PathBuf,
    pub(crate) appender: Appender,
    batch: Vec<Entry>,
    _scratch: tempfile::TempDir,
}

impl Log {
    pub(crate) fn new(entries: u64, options: WalOptions) -> Self {
        let scratch = scratch();
        let dir = scratch.path().join("wal");
        let fs = RealFs::shared();
        let appender = Wal::create(&fs, &dir, b"bench", options).unwrap();
        let entry = |index| Entry {
            r#type: 0,
            term: 1,
            index,
            data: Some(vec![b'v'; ENTRY_BYTES].into()),
        };
        let batch = (1..=entries).map(entry).collect();
        Self {
            fs,
            dir,
            appender,
            batch,
            _scratch: scratch,
        }
    }

    /// A log that has just begun a segment, which is full of zeros or only reserved.
    pub(crate) fn in_a_prepared_segment(entries: u64, prefill: bool) -> Self {
        let options = WalOptions {
            prefill,
            inline_pipeline: true,
            ..WalOptions::default()
        };
        let mut log = Self::new(entries, options);
        while !log.append(false).cut {}
        log
    }

    /// Saves the next batch, as a member under load does: entries and the commit of the batch before.
    pub(crate) fn append(&mut self, must_sync: bool) -> SaveStats {
        let count = self.batch.len() as u64;
        for entry in &mut self.batch {
            entry.index += count;
        }
        let last = self.batch.last().unwrap().index;
        let state = HardState {
            term: 1,
            vote: 1,
            commit: last - count,
        };
        let saved = self.appender.save(Some(&state), &self.batch, must_sync);
        let stats = saved.unwrap();
        if stats.cut {
            self.appender.release_to(last).unwrap();
            purge(&self.fs, &self.dir, 1).unwrap();
        }
        stats
    }
}
