//! The revision workload on this engine, and with feature `peers` beside redb and LMDB (heed) in the
//! same run: `cargo bench -p varve-backend-btree --features peers`.
//!
//! Every engine commits durably (one sync discipline each: ours and LMDB's two-step meta, redb's
//! default) on the file system of `VARVE_BENCH_DIR` (default: the temporary directory). Numbers belong to
//! the machine; the ratios are what to read.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails should stop")]
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use varve_backend::{Backend, BackendOptions, Batch, Bucket, Direction, Engine, KeyRange};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::RealFs;

#[cfg(feature = "peers")]
mod peers;

const KEY: Bucket = Bucket::new("key");
const VALUE_LEN: usize = 256;
const LOADED: u64 = 200_000;

/// What every engine of the comparison can do.
trait Store {
    /// Writes the revisions `from..to` in one durable commit.
    fn append(&self, from: u64, to: u64);
    /// Deletes every revision of a range that is no multiple of ten, in one durable commit.
    fn thin(&self, from: u64, to: u64);
    /// Length of the value under a revision.
    fn get(&self, main: u64) -> usize;
    /// Bytes of all values.
    fn scan(&self) -> usize;
}

type Opener = (&'static str, fn(&Path) -> Box<dyn Store>);

fn revision(main: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&main.to_be_bytes());
    key[8] = b'_';
    key
}

struct Ours(BtreeEngine);

fn ours(dir: &Path) -> Box<dyn Store> {
    let options = BtreeOptions {
        initial_map_bytes: 1 << 30,
        ..BtreeOptions::default()
    };
    Box::new(Ours(
        BtreeEngine::open(Arc::new(RealFs), dir.join("btree"), options).unwrap(),
    ))
}

impl Store for Ours {
    fn append(&self, from: u64, to: u64) {
        let value = Bytes::from(vec![7; VALUE_LEN]);
        let mut batch = Batch::new();
        for main in from..to {
            batch.put(KEY, Bytes::copy_from_slice(&revision(main)), value.clone());
        }
        self.0.commit(&batch).unwrap();
    }

    fn thin(&self, from: u64, to: u64) {
        let mut batch = Batch::new();
        for main in (from..to).filter(|n| n % 10 != 0) {
            batch.delete(KEY, Bytes::copy_from_slice(&revision(main)));
        }
        self.0.commit(&batch).unwrap();
    }

    fn get(&self, main: u64) -> usize {
        self.0.btree_snapshot_get(main)
    }

    fn scan(&self) -> usize {
        let snapshot = self.0.snapshot().unwrap();
        let mut scan = snapshot
            .scan(KEY, &KeyRange::all(), Direction::Forward)
            .unwrap();
        let mut total = 0;
        while let Some((_, value)) = scan.next().unwrap() {
            total += value.len();
        }
        total
    }
}

/// One lookup with a snapshot of its own.
trait SnapshotGet {
    fn btree_snapshot_get(&self, main: u64) -> usize;
}

impl SnapshotGet for BtreeEngine {
    fn btree_snapshot_get(&self, main: u64) -> usize {
        use varve_backend::Snapshot;
        self.btree_snapshot()
            .get(KEY, &revision(main))
            .unwrap()
            .unwrap()
            .len()
    }
}

fn stores() -> Vec<Opener> {
    #[allow(unused_mut, reason = "grows with feature `peers`")]
    let mut all: Vec<Opener> = vec![("varve-btree", ours)];
    #[cfg(feature = "peers")]
    all.extend(peers::ALL);
    all
}

fn temp() -> tempfile::TempDir {
    match std::env::var_os("VARVE_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

fn writes(c: &mut Criterion) {
    for (label, count) in [("commit of 1", 1), ("commit of 1000", 1000)] {
        let mut group = c.benchmark_group(label);
        group.throughput(Throughput::Elements(count));
        for (name, open) in stores() {
            let dir = temp();
            let store = open(dir.path());
            let mut next = 0;
            group.bench_function(name, |b| {
                b.iter(|| {
                    store.append(next, next + count);
                    next += count;
                });
            });
        }
    }
    let mut group = c.benchmark_group("compaction: delete 9 of 10 of 10000");
    group.sample_size(10);
    for (name, open) in stores() {
        let dir = temp();
        let store = open(dir.path());
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    store.append(next, next + 10_000);
                    next += 10_000;
                    next - 10_000
                },
                |from| store.thin(from, from + 10_000),
                BatchSize::PerIteration,
            );
        });
    }
}

fn reads(c: &mut Criterion) {
    let dirs: Vec<_> = stores()
        .into_iter()
        .map(|(name, open)| (name, temp(), open))
        .collect();
    let stores: Vec<_> = dirs
        .iter()
        .map(|(name, dir, open)| {
            let store = open(dir.path());
            (0..LOADED / 10_000).for_each(|n| store.append(n * 10_000, (n + 1) * 10_000));
            (*name, store)
        })
        .collect();
    let mut group = c.benchmark_group("get at random");
    for (name, store) in &stores {
        let mut at = 1u64;
        group.bench_function(*name, |b| {
            b.iter(|| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                black_box(store.get((at >> 33) % LOADED))
            });
        });
    }
    drop(group);
    let mut group = c.benchmark_group("scan of 200000");
    group.sample_size(10);
    group.throughput(Throughput::Elements(LOADED));
    for (name, store) in &stores {
        group.bench_function(*name, |b| b.iter(|| black_box(store.scan())));
    }
}

/// The hot path of a server: revisions that were just written, read through a view.
fn write_behind(c: &mut Criterion) {
    let dir = temp();
    let options = BtreeOptions::default();
    let engine = BtreeEngine::open(Arc::new(RealFs), dir.path().join("db"), options).unwrap();
    let options = BackendOptions {
        batch_limit: 1 << 30,
        ..BackendOptions::manual()
    };
    let backend = Backend::open(Arc::new(engine), options).unwrap();
    let value = Bytes::from(vec![7; VALUE_LEN]);
    for main in 0..10_000 {
        let mut guard = backend.begin();
        guard.put(KEY, Bytes::copy_from_slice(&revision(main)), value.clone());
    }
    let mut at = 1u64;
    c.bench_function("write-behind: get of 10000 pending", |b| {
        let view = backend.view();
        b.iter(|| {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            black_box(view.get(KEY, &revision((at >> 33) % 10_000)).unwrap())
        });
    });
    c.bench_function("write-behind: take a view", |b| {
        b.iter(|| black_box(backend.view()));
    });
    let mut next = 10_000;
    c.bench_function("write-behind: guard with one put", |b| {
        b.iter(|| {
            let mut guard = backend.begin();
            guard.put(KEY, Bytes::copy_from_slice(&revision(next)), value.clone());
            next += 1;
        });
    });
}

criterion_group! {
    name = engines;
    config = Criterion::default().without_plots();
    targets = write_behind, writes, reads
}
criterion_main!(engines);
