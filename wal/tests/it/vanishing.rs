//! A reader and a purge at the same time.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use varve_vfs::{DynFs, File, Fs, Metadata, OpenOptions, SimFs};
use varve_wal::{Error, SegmentName, Wal};

use crate::support::{create, dir, entry, snapshot, state};

/// Removes the oldest segment just before somebody opens it, so many times.
#[derive(Debug)]
struct Purging {
    sim: SimFs,
    times: AtomicUsize,
}

impl Purging {
    fn oldest(&self) -> PathBuf {
        let names = self.sim.read_dir(dir()).unwrap();
        let name = names
            .iter()
            .find_map(|name| SegmentName::parse(name))
            .unwrap();
        name.path_in(dir())
    }
}

impl Fs for Purging {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let due = self.times.load(Ordering::Relaxed) > 0;
        if due && path == self.oldest() {
            self.times.fetch_sub(1, Ordering::Relaxed);
            self.sim.remove_file(path)?;
        }
        self.sim.open(path, options)
    }

    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.sim.create_dir_all(path, mode)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.sim.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sim.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.sim.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.sim.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sim.sync_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.sim.metadata(path)
    }
}

/// A log of several segments of which the oldest vanish under the reader's hand.
fn purging(times: usize) -> DynFs {
    let sim = SimFs::new();
    let mut log = create(&sim);
    for index in 1..=20 {
        log.save(Some(&state(1, index)), &[entry(1, index, 1000)], true)
            .unwrap();
    }
    log.save_snapshot(&snapshot(1, 20)).unwrap();
    log.close().unwrap();
    Arc::new(Purging {
        sim,
        times: AtomicUsize::new(times),
    })
}

#[test]
fn a_reader_looks_again_when_a_purge_took_a_segment_it_was_about_to_open() {
    for times in 0..3 {
        let found = Wal::valid_snapshot_entries(&purging(times), dir()).unwrap();
        assert_eq!(found.last(), Some(&snapshot(1, 20)), "{times}");
        let reader = Wal::open_all_read_only(&purging(times), dir()).unwrap();
        assert!(
            reader.records().unwrap().all(|record| record.is_ok()),
            "{times}"
        );
    }
    let gave_up = Wal::open_all_read_only(&purging(3), dir()).unwrap_err();
    assert!(matches!(gave_up, Error::Io { op: "open", .. }), "{gave_up}");
}
