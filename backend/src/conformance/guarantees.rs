//! One function per guarantee.
use std::sync::Arc;

use bytes::Bytes;

use super::{Guarantee, Numbers, TestBed, agree_with_model, listing, pairs, random_batch};
use crate::{Batch, Bucket, Direction, Engine, ErrorKind, KeyRange, MAX_KEY_LEN, MemoryEngine};

const A: Bucket = Bucket::new("a");
const B: Bucket = Bucket::new("b");

pub(super) const ALL: &[Guarantee] = &[
    ("1, atomic", atomic),
    ("2, durable", durable),
    ("3, isolated", isolated),
    ("4, readers never wait", readers_never_wait),
    ("5, ordered", ordered),
    ("6, missing is empty", missing_is_empty),
    ("7, implicit buckets", implicit_buckets),
    ("8, batch order", batch_order),
    ("9, limits", limits),
    ("10, sticky failure", sticky_failure),
    ("11, values outlive", values_outlive),
    ("12, export", export),
    ("13, reclaim", reclaim),
];

fn key(n: u64) -> Bytes {
    Bytes::from(format!("{n:05}"))
}

fn put(engine: &Arc<dyn Engine>, bucket: Bucket, n: u64, value: Bytes) {
    let mut batch = Batch::new();
    batch.put(bucket, key(n), value);
    engine.commit(&batch).unwrap();
}

/// After each commit everything of it is visible; after a loss of power the store is as one of the
/// commits left it.
fn atomic(bed: &mut dyn TestBed) {
    let engine = bed.open();
    agree_with_model(&engine, 0x00a1_0b2c_3d4e, 40);
    if !bed.is_persistent() {
        return;
    }
    let last = listing(&*engine.snapshot().unwrap());
    drop(engine);
    bed.lose_power();
    let engine = bed.open();
    assert_eq!(listing(&*engine.snapshot().unwrap()), last);
}

fn durable(bed: &mut dyn TestBed) {
    if !bed.is_persistent() {
        return;
    }
    let model = MemoryEngine::new();
    let mut numbers = Numbers(0x0d0d);
    for _ in 0..15 {
        let engine = bed.open();
        assert_eq!(
            listing(&*engine.snapshot().unwrap()),
            listing(&*model.snapshot().unwrap())
        );
        for _ in 0..3 {
            let batch = random_batch(&mut numbers);
            engine.commit(&batch).unwrap();
            model.commit(&batch).unwrap();
        }
        drop(engine);
        bed.lose_power();
    }
}

fn isolated(bed: &mut dyn TestBed) {
    let engine = bed.open();
    let model = MemoryEngine::new();
    let mut numbers = Numbers(0x150);
    let mut held = Vec::new();
    for round in 0..60 {
        let batch = random_batch(&mut numbers);
        engine.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        held.push((engine.snapshot().unwrap(), model.snapshot().unwrap()));
        if round % 3 == 2 {
            let at = usize::try_from(numbers.below(held.len() as u64)).unwrap();
            let (ours, theirs) = held.swap_remove(at);
            assert_eq!(listing(&*ours), listing(&*theirs));
        }
    }
    assert!(engine.sizes().open_readers >= 1);
    for (ours, theirs) in held {
        assert_eq!(listing(&*ours), listing(&*theirs));
    }
}

/// A scan that has begun is finished by the thread that also commits: nothing it could wait for ever
/// comes, so waiting would be a deadlock.
fn readers_never_wait(bed: &mut dyn TestBed) {
    let engine = bed.open();
    (0..50).for_each(|n| put(&engine, A, n, Bytes::from(vec![1; 200])));
    let snapshot = engine.snapshot().unwrap();
    let mut scan = snapshot
        .scan(A, &KeyRange::all(), Direction::Forward)
        .unwrap();
    for n in 0..50 {
        let (k, _) = scan.next().unwrap().unwrap();
        assert_eq!(k, key(n));
        put(&engine, A, 100 + n, Bytes::from(vec![2; 200]));
        assert!(
            engine
                .snapshot()
                .unwrap()
                .get(A, &key(100 + n))
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(scan.next().unwrap(), None);
}

/// What `visit` shows; it must stop when it is told to.
fn visited(
    snapshot: &dyn crate::Snapshot,
    range: &KeyRange,
    direction: Direction,
) -> Vec<(Bytes, Bytes)> {
    let mut all = Vec::new();
    let mut keep = |k: &[u8], v: &[u8]| {
        all.push((Bytes::copy_from_slice(k), Bytes::copy_from_slice(v)));
        true
    };
    snapshot.visit(A, range, direction, &mut keep).unwrap();
    let mut calls = 0;
    let mut once = |_: &[u8], _: &[u8]| {
        calls += 1;
        false
    };
    snapshot.visit(A, range, direction, &mut once).unwrap();
    assert_eq!(calls, all.len().min(1));
    all
}

/// What `get_with` shows, which is what `get` returns.
fn looked_at(snapshot: &dyn crate::Snapshot, key: &[u8]) -> Option<Bytes> {
    let mut shown = Vec::new();
    let mut look = |value: &[u8]| shown.push(Bytes::copy_from_slice(value));
    let found = snapshot.get_with(A, key, &mut look).unwrap();
    assert_eq!(shown.len(), usize::from(found), "shown once if it is there");
    assert_eq!(shown.first(), snapshot.get(A, key).unwrap().as_ref());
    shown.pop()
}

fn ordered(bed: &mut dyn TestBed) {
    let engine = bed.open();
    let mut numbers = Numbers(0x0123_4567);
    let mut batch = Batch::new();
    let mut all = std::collections::BTreeMap::new();
    for _ in 0..800 {
        // Keys of many lengths, prefixes of each other among them.
        let len = 1 + usize::try_from(numbers.below(5)).unwrap();
        let k: Vec<u8> = (0..len)
            .map(|_| b'a' + u8::try_from(numbers.below(4)).unwrap())
            .collect();
        let value = numbers.bytes(60);
        all.insert(Bytes::from(k.clone()), value.clone());
        batch.put(A, Bytes::from(k), value);
    }
    engine.commit(&batch).unwrap();
    let snapshot = engine.snapshot().unwrap();
    for (key, value) in &all {
        assert_eq!(looked_at(&*snapshot, key).as_ref(), Some(value));
        let longer = [&key[..], &[0]].concat();
        assert_eq!(looked_at(&*snapshot, &longer), None);
    }
    for round in 0..200 {
        let mut edge = || {
            let len = usize::try_from(numbers.below(5)).unwrap();
            let k: Vec<u8> = (0..len)
                .map(|_| b'a' + u8::try_from(numbers.below(5)).unwrap())
                .collect();
            Bytes::from(k)
        };
        let range = KeyRange {
            start: edge(),
            end: (round % 3 > 0).then(&mut edge),
        };
        let mut want: Vec<_> = all
            .iter()
            .filter(|(k, _)| range.contains(k))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        assert_eq!(
            pairs(&*snapshot, A.as_bytes(), &range, Direction::Forward),
            want
        );
        assert_eq!(visited(&*snapshot, &range, Direction::Forward), want);
        want.reverse();
        assert_eq!(
            pairs(&*snapshot, A.as_bytes(), &range, Direction::Backward),
            want
        );
        assert_eq!(visited(&*snapshot, &range, Direction::Backward), want);
    }
}

fn missing_is_empty(bed: &mut dyn TestBed) {
    let engine = bed.open();
    let snapshot = engine.snapshot().unwrap();
    assert!(snapshot.buckets().unwrap().is_empty());
    assert!(!snapshot.has_bucket(A).unwrap());
    assert_eq!(snapshot.get(A, b"k").unwrap(), None);
    assert!(pairs(&*snapshot, b"none", &KeyRange::all(), Direction::Backward).is_empty());
}

fn implicit_buckets(bed: &mut dyn TestBed) {
    let engine = bed.open();
    let mut batch = Batch::new();
    batch.put(A, key(1), Bytes::new());
    batch.delete(B, key(1));
    engine.commit(&batch).unwrap();
    assert_eq!(engine.snapshot().unwrap().buckets().unwrap(), ["a"]);
    assert_eq!(
        engine.snapshot().unwrap().get(A, &key(1)).unwrap(),
        Some(Bytes::new())
    );
    let mut batch = Batch::new();
    batch.delete(A, key(1));
    batch.create_bucket(B);
    engine.commit(&batch).unwrap();
    assert_eq!(engine.snapshot().unwrap().buckets().unwrap(), ["a", "b"]);
    let mut batch = Batch::new();
    batch.delete_bucket(A);
    engine.commit(&batch).unwrap();
    assert_eq!(engine.snapshot().unwrap().buckets().unwrap(), ["b"]);
}

fn batch_order(bed: &mut dyn TestBed) {
    let engine = bed.open();
    (0..500).for_each(|n| put(&engine, A, n, Bytes::from_static(b"old")));
    let mut batch = Batch::new();
    batch.put(A, key(1), Bytes::from_static(b"lost"));
    batch.delete_bucket(A);
    batch.put(A, key(2), Bytes::from_static(b"first"));
    batch.delete(A, key(2));
    batch.delete(A, key(3));
    batch.put(A, key(3), Bytes::from_static(b"second"));
    engine.commit(&batch).unwrap();
    let left = pairs(
        &*engine.snapshot().unwrap(),
        A.as_bytes(),
        &KeyRange::all(),
        Direction::Forward,
    );
    assert_eq!(left, [(key(3), Bytes::from_static(b"second"))]);
}

fn limits(bed: &mut dyn TestBed) {
    let engine = bed.open();
    for bad in [Bytes::new(), Bytes::from(vec![1; MAX_KEY_LEN + 1])] {
        let mut batch = Batch::new();
        batch.put(A, key(1), Bytes::new());
        batch.put(A, bad, Bytes::new());
        let error = engine.commit(&batch).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid { .. }), "{error}");
        assert!(
            !engine.snapshot().unwrap().has_bucket(A).unwrap(),
            "refused whole"
        );
    }
    let mut batch = Batch::new();
    let longest: Vec<Bytes> = (0..5)
        .map(|n| [vec![b'k'; MAX_KEY_LEN - 1], vec![n]].concat().into())
        .collect();
    for k in &longest {
        batch.put(A, k.clone(), Bytes::from(vec![3; 300_000]));
    }
    engine.commit(&batch).unwrap();
    for k in &longest {
        assert_eq!(
            engine.snapshot().unwrap().get(A, k).unwrap().unwrap().len(),
            300_000
        );
    }
}

fn sticky_failure(bed: &mut dyn TestBed) {
    let engine = bed.open();
    put(&engine, A, 1, Bytes::from_static(b"kept"));
    bed.break_next_commit(&engine);
    let mut batch = Batch::new();
    batch.put(A, key(2), Bytes::from_static(b"lost"));
    engine.commit(&batch).unwrap_err();
    // The storage works again; the engine does not.
    for _ in 0..3 {
        assert!(engine.commit(&batch).unwrap_err().is_poisoned());
    }
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.get(A, &key(1)).unwrap().unwrap(), "kept");
    drop(snapshot);
    drop(engine);
    if bed.is_persistent() {
        bed.lose_power();
        let engine = bed.open();
        let snapshot = engine.snapshot().unwrap();
        assert_eq!(snapshot.get(A, &key(1)).unwrap().unwrap(), "kept");
        put(&engine, A, 3, Bytes::new());
    }
}

fn values_outlive(bed: &mut dyn TestBed) {
    let engine = bed.open();
    let sizes = [10, 3000, 5000, 200_000];
    for (n, len) in sizes.iter().enumerate() {
        put(
            &engine,
            A,
            n as u64,
            Bytes::from(vec![u8::try_from(n).unwrap(); *len]),
        );
    }
    let snapshot = engine.snapshot().unwrap();
    let mut values: Vec<Bytes> = (0..sizes.len() as u64)
        .map(|n| snapshot.get(A, &key(n)).unwrap().unwrap())
        .collect();
    let scanned = pairs(
        &*snapshot,
        A.as_bytes(),
        &KeyRange::all(),
        Direction::Forward,
    );
    values.extend(scanned.into_iter().map(|(_, v)| v));
    drop(snapshot);
    let mut batch = Batch::new();
    batch.delete_bucket(A);
    engine.commit(&batch).unwrap();
    for round in 0..30 {
        put(&engine, B, round, Bytes::from(vec![0xee; 20_000]));
    }
    drop(engine);
    for (n, value) in values.iter().enumerate() {
        let n = n % sizes.len();
        assert_eq!(value.len(), sizes[n]);
        assert!(value.iter().all(|b| usize::from(*b) == n));
    }
}

fn export(bed: &mut dyn TestBed) {
    let engine = bed.open();
    for round in 0..4 {
        agree_with_model_from(&engine, round);
        let want = listing(&*engine.snapshot().unwrap());
        let mut export = engine.export().unwrap();
        let mut image = Vec::new();
        let mut buf = vec![0; 5000];
        loop {
            let n = export.read(&mut buf).unwrap();
            if n == 0 {
                break;
            }
            image.extend_from_slice(&buf[..n]);
            // Commits go on while the image is read.
            put(&engine, A, image.len() as u64, Bytes::from(vec![9; 500]));
        }
        assert_eq!(image.len() as u64, export.len());
        drop(export);
        if let Some(other) = bed.import(image) {
            assert_eq!(listing(&*other.snapshot().unwrap()), want);
        }
    }
}

/// Random commits on an engine that already holds something.
fn agree_with_model_from(engine: &Arc<dyn Engine>, seed: u64) {
    let mut numbers = Numbers(seed + 0xbeef);
    for _ in 0..10 {
        engine.commit(&random_batch(&mut numbers)).unwrap();
    }
}

fn reclaim(bed: &mut dyn TestBed) {
    let engine = bed.open();
    for n in 0..60 {
        let mut batch = Batch::new();
        (0..20).for_each(|i| batch.put(A, key(n * 20 + i), Bytes::from(vec![4; 300])));
        engine.commit(&batch).unwrap();
    }
    let mut batch = Batch::new();
    (0..1200)
        .filter(|n| n % 10 != 0)
        .for_each(|n| batch.delete(A, key(n)));
    engine.commit(&batch).unwrap();
    let held = engine.snapshot().unwrap();
    let want = listing(&*held);
    let pinned = engine.reclaim().unwrap();
    assert!(pinned.bytes_after <= pinned.bytes_before);
    assert_eq!(listing(&*held), want, "an open snapshot is not disturbed");
    drop(held);
    let free = engine.reclaim().unwrap();
    assert!(free.bytes_after <= free.bytes_before);
    assert_eq!(listing(&*engine.snapshot().unwrap()), want);
    let sizes = engine.sizes();
    assert!(sizes.in_use_bytes <= sizes.total_bytes);
    assert!(
        sizes.total_bytes < 1200 * 300 / 2,
        "{} bytes for a tenth of the data",
        sizes.total_bytes
    );
    put(&engine, A, 5000, Bytes::from_static(b"and on"));
}
