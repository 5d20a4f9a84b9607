//! What the store itself costs: processor time of the calling thread, over the B+tree engine.
//!
//! The committer works on a thread of its own and is not counted, nor is what other programs on the
//! machine take. `put`: one put per transaction over 100,000 and 1,000,000 keys (48-byte names as
//! Kubernetes makes them, 256-byte values), and with watchers. `range`: one key, a page of 500 out of
//! 100,000, a count, all. `compact`: a compaction per dead row. `restore`: opening. Before anything is
//! timed, the index's memory per key is printed. Files go to the directory `VARVE_BENCH_DIR` names.

#![expect(clippy::print_stderr, reason = "a bench reports what it measured")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use varve_backend::{Backend, BackendOptions};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{RangeOptions, Store, StoreOptions, WatchOptions, prefix_end};
use varve_vfs::RealFs;

const VALUE: &[u8] = &[b'v'; 256];
const SMALL: u64 = 100_000;
const LARGE: u64 = 1_000_000;

/// Processor time of this thread, in nanoseconds.
struct ThreadTime;

fn thread_nanos() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("time since the start")
}

impl Measurement for ThreadTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        thread_nanos()
    }

    fn end(&self, start: u64) -> u64 {
        thread_nanos() - start
    }

    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }

    fn zero(&self) -> u64 {
        0
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "nanoseconds of a bench are below 2^52"
    )]
    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

type Bench = Criterion<ThreadTime>;

/// A store and the directory of its file.
struct Bed {
    store: Store,
    dir: TempDir,
}

fn key(n: u64) -> Bytes {
    format!("/registry/pods/namespace-{:03}/pod-{n:012}-x", n % 100).into()
}

fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn open_in(dir: TempDir) -> Bed {
    let fs = Arc::new(RealFs);
    let engine = BtreeEngine::open(fs, dir.path().join("db"), BtreeOptions::default());
    let engine = engine.expect("a database");
    let backend = Backend::open(Arc::new(engine), BackendOptions::default());
    let options = StoreOptions {
        manual: true,
        ..StoreOptions::default()
    };
    let store = Store::open(backend.expect("a backend"), options).expect("a sound store");
    Bed { store, dir }
}

fn put(store: &Store, n: u64) {
    let mut txn = store.write();
    txn.put(key(n), Bytes::from_static(VALUE), 0)
        .expect("no lease is named");
    txn.end();
}

fn filled(keys: u64) -> Bed {
    let parent = std::env::var_os("VARVE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let bed = open_in(tempfile::tempdir_in(parent).expect("a directory"));
    for n in 0..keys {
        put(&bed.store, n);
    }
    settle(&bed.store);
    bed
}

fn settle(store: &Store) {
    store.backend().force_commit().expect("the disk works");
}

fn puts(c: &mut Bench) {
    let mut group = c.benchmark_group("put");
    group.throughput(Throughput::Elements(1));
    for keys in [SMALL, LARGE] {
        let Bed { store, dir: _dir } = filled(keys);
        let per_key = store.index_memory_bytes() / usize::try_from(keys).unwrap_or(usize::MAX);
        eprintln!(
            "index: {per_key} bytes per key at {keys} keys of {} bytes",
            key(0).len()
        );
        let mut n = 0;
        group.bench_function(format!("one of {keys}"), |b| {
            b.iter(|| {
                n += 1;
                put(&store, scattered(n) % keys);
            });
        });
    }
    let Bed { store, dir: _dir } = filled(SMALL);
    for (name, watchers) in [("100 watchers", 100), ("10000 watchers", 9_900)] {
        let streams: Vec<_> = (0..watchers)
            .map(|_| {
                let stream = store.watch_stream(Arc::new(|| {}));
                let key = Bytes::from_static(b"/registry/pods/");
                let options = WatchOptions {
                    end: prefix_end(&key),
                    key,
                    ..WatchOptions::default()
                };
                stream.watch(options).expect("a prefix has keys");
                stream
            })
            .collect();
        let mut n = 0;
        group.bench_function(format!("{name} of one prefix, not drained"), |b| {
            b.iter_batched(
                || {
                    streams
                        .iter()
                        .map(|s| s.drain(usize::MAX).len())
                        .sum::<usize>()
                },
                |_| {
                    n += 1;
                    put(&store, scattered(n) % SMALL);
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn compact(store: &Store) {
    let mut txn = store.write();
    let revision = txn.revision();
    txn.compact(revision).expect("newer than the last one");
    txn.end();
    while store.step_compaction().expect("the disk works") {}
}

fn ranges(c: &mut Bench) {
    let Bed { store, dir: _dir } = filled(SMALL);
    let mut group = c.benchmark_group("range");
    group.throughput(Throughput::Elements(1));
    let mut n = 0;
    group.bench_function("one key", |b| {
        b.iter(|| {
            n += 1;
            let options = RangeOptions::key(key(scattered(n) % SMALL));
            black_box(store.read().range(&options))
        });
    });
    let all = RangeOptions::prefix(Bytes::from_static(b"/registry/pods/"));
    let count = RangeOptions {
        count_only: true,
        ..all.clone()
    };
    group.bench_function("count of 100000", |b| {
        b.iter(|| black_box(store.read().range(&count)));
    });
    let page = RangeOptions {
        limit: 500,
        ..all.clone()
    };
    group.throughput(Throughput::Elements(500));
    group.bench_function("page of 500, with the count", |b| {
        b.iter(|| black_box(store.read().range(&page)));
    });
    group.throughput(Throughput::Elements(SMALL));
    group.sample_size(10);
    group.bench_function("all 100000", |b| {
        b.iter(|| black_box(store.read().range(&all)));
    });
    group.finish();
}

fn compactions(c: &mut Bench) {
    const DEAD: u64 = 50_000;
    let mut group = c.benchmark_group("compact");
    group.sample_size(10);
    group.throughput(Throughput::Elements(DEAD));
    let Bed { store, dir: _dir } = filled(SMALL);
    compact(&store);
    let mut n = 0;
    group.bench_function("50000 dead rows among 100000 live ones", |b| {
        b.iter_custom(|rounds| {
            let mut total = 0;
            for _ in 0..rounds {
                for _ in 0..DEAD {
                    n += 1;
                    put(&store, scattered(n) % SMALL);
                }
                settle(&store);
                let start = thread_nanos();
                compact(&store);
                total += thread_nanos() - start;
            }
            total
        });
    });
    group.finish();
}

fn restores(c: &mut Bench) {
    let Bed { store, dir } = filled(SMALL);
    store.close().expect("the disk works");
    drop(store);
    let mut dir = Some(dir);
    let mut group = c.benchmark_group("restore");
    group.sample_size(10);
    group.throughput(Throughput::Elements(SMALL));
    group.bench_function("100000 keys", |b| {
        b.iter(|| {
            let bed = open_in(dir.take().expect("put back below"));
            black_box(bed.store.revision());
            dir = Some(bed.dir);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime);
    targets = puts, ranges, compactions, restores
}
criterion_main!(benches);
