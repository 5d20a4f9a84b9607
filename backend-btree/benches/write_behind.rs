//! The write-behind batch over this engine: what a request's read and write cost while the batch is open.
//!
//! `cargo bench -p varve-backend-btree`. The engine beside its peers: `benches/engines.sh`.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails should stop")]
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use varve_backend::{Backend, BackendOptions, Bucket};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::RealFs;

const KEY: Bucket = Bucket::new("key");
const VALUE_LEN: usize = 256;

fn revision(main: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&main.to_be_bytes());
    key[8] = b'_';
    key
}

fn temp() -> tempfile::TempDir {
    match std::env::var_os("VARVE_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir).unwrap(),
        None => tempfile::tempdir().unwrap(),
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
    name = benches;
    config = Criterion::default().without_plots();
    targets = write_behind
}
criterion_main!(benches);
