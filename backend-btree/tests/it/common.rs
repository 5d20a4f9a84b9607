//! What several test modules share.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use varve_backend::{Batch, Bucket, Direction, KeyRange, Snapshot};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{DynFs, RealFs};

pub(crate) const KEY: Bucket = Bucket::new("key");
pub(crate) const META: Bucket = Bucket::new("meta");
pub(crate) const LEASE: Bucket = Bucket::new("lease");

/// Small pages make deep trees out of few keys.
pub(crate) fn small_pages() -> BtreeOptions {
    BtreeOptions {
        page_size: 512,
        initial_map_bytes: 0,
        ..BtreeOptions::default()
    }
}

pub(crate) fn real() -> DynFs {
    Arc::new(RealFs)
}

/// Opens, with patience for a lock: a tool another test starts inherits our descriptors until it has
/// replaced itself, and the lock with them.
pub(crate) fn open(fs: &DynFs, path: &Path, options: BtreeOptions) -> BtreeEngine {
    let options = BtreeOptions {
        lock_wait: Duration::from_secs(30),
        ..options
    };
    BtreeEngine::open(Arc::clone(fs), path, options).unwrap()
}

/// A small reproducible source of numbers (xorshift), for workloads that need no shrinking.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(crate) type Content = BTreeMap<Bytes, BTreeMap<Bytes, Bytes>>;

/// Everything a snapshot shows, by scanning forward.
pub(crate) fn content(snapshot: &dyn Snapshot) -> varve_backend::Result<Content> {
    let mut all = Content::new();
    for name in snapshot.buckets()? {
        let mut pairs = BTreeMap::new();
        let mut scan = snapshot.scan_bucket_name(&name, &KeyRange::all(), Direction::Forward)?;
        while let Some((key, value)) = scan.next()? {
            pairs.insert(key, value);
        }
        drop(scan);
        all.insert(name, pairs);
    }
    Ok(all)
}

/// A revision key as etcd writes them.
pub(crate) fn revision(main: u64) -> Bytes {
    let mut key = main.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend_from_slice(&0u64.to_be_bytes());
    Bytes::from(key)
}

/// A batch that puts the revisions `from..to` with values that tell where they belong.
pub(crate) fn revisions(from: u64, to: u64, value_len: usize) -> Batch {
    let mut batch = Batch::new();
    for main in from..to {
        let mut value = vec![0x5a; value_len];
        let head = main.to_be_bytes();
        let n = head.len().min(value_len);
        value[..n].copy_from_slice(&head[..n]);
        batch.put(KEY, revision(main), Bytes::from(value));
    }
    batch
}
