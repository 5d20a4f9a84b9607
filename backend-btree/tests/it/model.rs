//! Random workloads against the in-memory model.
use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::{Batch, Bucket, Direction, Engine, KeyRange, MemoryEngine, Snapshot};
use varve_backend_btree::{BtreeOptions, FreelistType};
use varve_vfs::SimFs;

use crate::common::{KEY, LEASE, META, Numbers, content, open, real, revision, small_pages};

const BUCKETS: [Bucket; 3] = [KEY, LEASE, META];

fn random_batch(numbers: &mut Numbers, next_revision: &mut u64) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..numbers.below(60) {
        let bucket = BUCKETS[usize::try_from(numbers.below(3)).unwrap()];
        let key = Bytes::from(format!("k{:03}", numbers.below(400)));
        // Mostly small values, some around a page, a few over several pages.
        let len = match numbers.below(40) {
            0 => 2000,
            1..5 => 300 + numbers.below(300),
            _ => numbers.below(40),
        };
        let fill = u8::try_from(numbers.below(256)).unwrap();
        let value = Bytes::from(vec![fill; usize::try_from(len).unwrap()]);
        match numbers.below(100) {
            0 => batch.delete_bucket(bucket),
            1 => batch.create_bucket(bucket),
            2..50 => batch.put(bucket, key, value),
            50..60 => {
                *next_revision += 1;
                batch.put(KEY, revision(*next_revision), value);
            }
            60..70 => batch.delete(KEY, revision(numbers.below(*next_revision + 1))),
            _ => batch.delete(bucket, key),
        }
    }
    batch
}

/// Runs `commits` random commits on a file and the model and compares them all the way; old snapshots
/// are compared with what they showed when they were taken.
fn run(seed: u64, commits: u64, options: &BtreeOptions) {
    let dir = tempfile::tempdir().unwrap();
    let (fs, path) = if options.mmap {
        (real(), dir.path().join("db"))
    } else {
        (SimFs::new().shared(), "/db".into())
    };
    let mut numbers = Numbers(seed | 1);
    let model = MemoryEngine::new();
    let mut engine = Some(open(&fs, &path, options.clone()));
    let mut held = Vec::new();
    let mut next_revision = 1;
    for round in 1..=commits {
        let db = engine.as_ref().unwrap();
        let batch = random_batch(&mut numbers, &mut next_revision);
        db.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        if numbers.below(5) == 0 {
            held.push((db.snapshot().unwrap(), model.snapshot().unwrap()));
        }
        if numbers.below(7) == 0 && !held.is_empty() {
            let at = usize::try_from(numbers.below(held.len() as u64)).unwrap();
            let (ours, theirs) = held.swap_remove(at);
            assert_eq!(
                content(&*ours).unwrap(),
                content(&*theirs).unwrap(),
                "round {round}"
            );
        }
        if round % 10 == 0 {
            let report = db.check();
            assert!(report.is_sound(), "round {round}: {:?}", report.errors);
            let ours = content(&*db.snapshot().unwrap()).unwrap();
            assert_eq!(
                ours,
                content(&*model.snapshot().unwrap()).unwrap(),
                "round {round}"
            );
            let sizes = db.sizes();
            assert_eq!(sizes.total_bytes % db.page_size(), 0);
            assert!(sizes.in_use_bytes <= sizes.total_bytes);
        }
        if round % 35 == 0 {
            for (ours, theirs) in held.drain(..) {
                assert_eq!(content(&*ours).unwrap(), content(&*theirs).unwrap());
            }
            let free = {
                let sizes = db.sizes();
                sizes.total_bytes - sizes.in_use_bytes
            };
            drop(engine.take());
            let again = open(&fs, &path, options.clone());
            let sizes = again.sizes();
            // What waited for readers is free after opening: never less than before.
            assert!(sizes.total_bytes - sizes.in_use_bytes >= free);
            engine = Some(again);
        }
        if round % 50 == 0 {
            held.clear();
            engine.as_ref().unwrap().reclaim().unwrap();
            assert!(engine.as_ref().unwrap().check().is_sound());
        }
    }
}

#[test]
fn random_commits_agree_with_the_model_through_a_map() {
    (0..6).for_each(|seed| run(0x1234_5678 + seed * 77, 150, &small_pages()));
}

#[test]
fn random_commits_agree_with_the_model_through_pread() {
    let options = BtreeOptions {
        mmap: false,
        ..small_pages()
    };
    (0..3).for_each(|seed| run(0x9abc_def1 + seed * 99, 100, &options));
}

#[test]
fn random_commits_agree_with_every_kind_of_freelist() {
    let synced = BtreeOptions {
        freelist_sync: true,
        ..small_pages()
    };
    (0..2).for_each(|seed| run(0x7777 + seed, 100, &synced));
    let sidecar = BtreeOptions {
        freelist_sidecar: true,
        ..small_pages()
    };
    (0..2).for_each(|seed| run(0x8888 + seed, 100, &sidecar));
    let array = BtreeOptions {
        freelist_type: FreelistType::Array,
        ..sidecar
    };
    run(0x9999, 100, &array);
}

#[test]
fn random_commits_agree_with_usual_pages() {
    let options = BtreeOptions {
        initial_map_bytes: 0,
        ..BtreeOptions::default()
    };
    run(0x5555, 200, &options);
}

#[test]
fn random_commits_agree_with_large_pages() {
    for page_size in [1024, 16384, 65536] {
        let options = BtreeOptions {
            page_size,
            ..small_pages()
        };
        run(u64::from(page_size), 60, &options);
    }
}

/// A range of a bucket, read pair by pair.
fn listed(snapshot: &dyn Snapshot, range: &KeyRange, dir: Direction) -> Vec<(Bytes, Bytes)> {
    let mut scan = snapshot.scan(KEY, range, dir).unwrap();
    let mut pairs = Vec::new();
    while let Some(pair) = scan.next().unwrap() {
        pairs.push(pair);
    }
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any range, in both directions, and any key lookup agree with the model.
    #[test]
    fn ranges_and_lookups_agree_with_the_model(
        keys in prop::collection::btree_map(0..300u16, 0..200usize, 0..300),
        ranges in prop::collection::vec((0..310u16, prop::option::of(0..310u16)), 1..12),
    ) {
        let fs = SimFs::new().shared();
        let db = open(&fs, "/db".as_ref(), small_pages());
        let model = MemoryEngine::new();
        let key = |n: u16| Bytes::from(format!("{n:03}"));
        let mut batch = Batch::new();
        batch.create_bucket(KEY);
        for (n, len) in &keys {
            batch.put(KEY, key(*n), Bytes::from(vec![7; *len]));
        }
        db.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        let (ours, theirs) = (db.snapshot().unwrap(), model.snapshot().unwrap());
        for (start, end) in ranges {
            let range = KeyRange { start: key(start), end: end.map(key) };
            for dir in [Direction::Forward, Direction::Backward] {
                prop_assert_eq!(listed(&*ours, &range, dir), listed(&*theirs, &range, dir));
            }
            prop_assert_eq!(ours.get(KEY, &key(start)).unwrap(), theirs.get(KEY, &key(start)).unwrap());
        }
    }
}
