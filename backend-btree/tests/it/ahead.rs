//! Large commits sync beside writing; what those syncs say counts.
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use varve_backend::{Batch, Engine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{DynFs, File, FileHooks, Fs, FsHooks, Hooked, OpenOptions, RealFs};

use crate::common::{self, KEY};

/// Which syncs beside the writing fail; how many there were.
#[derive(Debug, Default)]
struct Syncs {
    fail_from: usize,
    seen: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Faulty(Arc<Syncs>);

impl FsHooks for Faulty {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Hooked::new(fs.open(path, options)?, self.clone())))
    }
}

impl FileHooks for Faulty {
    fn sync_data(&self, file: &dyn File) -> io::Result<()> {
        let beside = std::thread::current().name() == Some("btree-sync");
        if beside && self.0.seen.fetch_add(1, Ordering::SeqCst) >= self.0.fail_from {
            // As Linux has it, nobody else is told.
            return Err(io::Error::other("a page did not reach the disk"));
        }
        file.sync_data()
    }
}

/// A store whose syncs beside the writing fail from the given one on.
fn open(dir: &Path, fail_from: usize) -> (BtreeEngine, Arc<Syncs>) {
    let syncs = Arc::new(Syncs {
        fail_from,
        ..Syncs::default()
    });
    let fs: DynFs = Arc::new(Hooked::new(RealFs::shared(), Faulty(Arc::clone(&syncs))));
    let engine = common::open(&fs, &dir.join("db"), BtreeOptions::default());
    (engine, syncs)
}

/// `count` values of 4 KiB from `first` on.
fn batch(first: u32, count: u32) -> Batch {
    let mut batch = Batch::new();
    for n in first..first + count {
        let key = Bytes::copy_from_slice(&n.to_be_bytes());
        batch.put(KEY, key, Bytes::from(vec![n.to_le_bytes()[0]; 4096]));
    }
    batch
}

#[test]
fn only_large_commits_sync_beside_writing_and_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, syncs) = open(dir.path(), usize::MAX);
    engine.commit(&batch(0, 50)).unwrap();
    assert_eq!(syncs.seen.load(Ordering::SeqCst), 0);
    engine.commit(&batch(50, 1000)).unwrap();
    assert!(syncs.seen.load(Ordering::SeqCst) > 0);
    assert!(engine.check().is_sound());
    drop(engine);
    let (engine, _) = open(dir.path(), usize::MAX);
    let snapshot = engine.snapshot().unwrap();
    for n in 0..1050_u32 {
        let value = snapshot.get(KEY, &n.to_be_bytes()).unwrap().unwrap();
        assert_eq!(value, vec![n.to_le_bytes()[0]; 4096]);
    }
}

#[test]
fn a_failed_sync_beside_writing_fails_the_commit_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, syncs) = open(dir.path(), 0);
    engine.commit(&batch(0, 50)).unwrap();
    let failed = engine.commit(&batch(50, 1000)).unwrap_err();
    assert!(syncs.seen.load(Ordering::SeqCst) > 0);
    assert!(failed.to_string().contains("did not reach"), "{failed}");
    let refused = engine.commit(&batch(50, 1)).unwrap_err();
    assert!(refused.is_poisoned(), "{refused}");
    drop(engine);
    // The commit before is what the file holds.
    let (engine, _) = open(dir.path(), usize::MAX);
    let snapshot = engine.snapshot().unwrap();
    assert!(snapshot.get(KEY, &49_u32.to_be_bytes()).unwrap().is_some());
    assert_eq!(snapshot.get(KEY, &50_u32.to_be_bytes()).unwrap(), None);
    assert!(engine.check().is_sound());
}
