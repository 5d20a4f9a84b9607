//! Stores to measure, and clocks to measure with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use varve_backend::{Backend, BackendOptions, Engine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{Publish, Store, StoreOptions};
use varve_vfs::RealFs;

use crate::nowhere::Nowhere;

/// Name `n`, 48 bytes as Kubernetes makes them.
pub(crate) fn pod(n: u64) -> Bytes {
    format!("/registry/pods/namespace-{:03}/pod-{n:012}-x", n % 100).into()
}

/// Another order of the same numbers.
pub(crate) fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

pub(crate) fn directory() -> TempDir {
    let parent = std::env::var_os("VARVE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::tempdir_in(parent).expect("a directory")
}

/// As a server opens its store, without the background thread.
pub(crate) fn manual() -> StoreOptions {
    StoreOptions {
        manual: true,
        publish: Publish::WhenRead,
        ..StoreOptions::default()
    }
}

/// A store over a B+tree file.
pub(crate) fn on_disk(path: &Path, options: StoreOptions) -> Store {
    let engine = BtreeEngine::open(RealFs::shared(), path, BtreeOptions::default());
    on(Arc::new(engine.expect("a database")), options)
}

/// A store over an engine that keeps nothing: what is measured is the store and its batch.
pub(crate) fn on_nothing(options: StoreOptions) -> Store {
    on(Arc::new(Nowhere), options)
}

fn on(engine: Arc<dyn Engine>, options: StoreOptions) -> Store {
    let backend = Backend::open(engine, BackendOptions::default()).expect("a backend");
    Store::open(backend, options).expect("a sound store")
}

pub(crate) fn put(store: &Store, key: Bytes, value: Bytes) {
    let mut txn = store.write();
    txn.put(key, value, 0).expect("no lease is named");
    txn.end();
}

/// `keys` names with values of `value_bytes`, a thousand per transaction.
pub(crate) fn fill(store: &Store, keys: u64, value_bytes: usize) {
    let value = Bytes::from(vec![b'v'; value_bytes]);
    let mut n = 0;
    while n < keys {
        let mut txn = store.write();
        for _ in 0..1000.min(keys - n) {
            txn.put(pod(n), value.clone(), 0)
                .expect("no lease is named");
            n += 1;
        }
        txn.end();
    }
    settle(store);
}

/// A file of its own with `keys` names.
pub(crate) fn filled(keys: u64, value_bytes: usize) -> (Store, TempDir, PathBuf) {
    let dir = directory();
    let path = dir.path().join("db");
    let store = on_disk(&path, manual());
    fill(&store, keys, value_bytes);
    (store, dir, path)
}

pub(crate) fn settle(store: &Store) {
    store.backend().force_commit().expect("the disk works");
}

/// Processor time of this thread, in nanoseconds.
pub(crate) fn thread_nanos() -> u64 {
    nanos(ClockId::ThreadCPUTime)
}

/// Processor time of all threads, in nanoseconds.
pub(crate) fn process_nanos() -> u64 {
    nanos(ClockId::ProcessCPUTime)
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("time since the start")
}

/// Page faults of this thread that read nothing from the disk.
pub(crate) fn thread_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The name in brackets may hold spaces; behind it this is the eighth number.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = rest.split(' ').nth(7);
    field.and_then(|f| f.parse().ok()).unwrap_or_default()
}

/// Nanoseconds of processor time for each of `ops` calls.
pub(crate) fn cpu_per_op(ops: u64, mut f: impl FnMut(u64)) -> f64 {
    let start = thread_nanos();
    for n in 0..ops {
        f(n);
    }
    ratio(thread_nanos() - start, ops)
}

/// Seconds of wall time.
pub(crate) fn wall(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what a bench counts is below 2^52"
)]
pub(crate) fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// Anonymous memory of this process, in bytes.
pub(crate) fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
