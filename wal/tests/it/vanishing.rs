//! A reader and a purge at the same time.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use varve_vfs::{DynFs, File, Fs, FsHooks, Hooked, OpenOptions, SimFs};
use varve_wal::{Error, SegmentName, Wal};

use crate::support::{create, dir, entry, snapshot, state};

/// Removes the oldest segment just before somebody opens it, so many times.
#[derive(Debug)]
struct Purging(AtomicUsize);

fn oldest(fs: &dyn Fs) -> PathBuf {
    let names = fs.read_dir(dir()).unwrap();
    let name = names
        .iter()
        .find_map(|name| SegmentName::parse(name))
        .unwrap();
    name.path_in(dir())
}

impl FsHooks for Purging {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let due = self.0.load(Ordering::Relaxed) > 0;
        if due && path == oldest(fs) {
            self.0.fetch_sub(1, Ordering::Relaxed);
            fs.remove_file(path)?;
        }
        fs.open(path, options)
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
    let purging = Purging(AtomicUsize::new(times));
    Arc::new(Hooked::new(sim.shared(), purging))
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
