//! Readers beside the writer.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use varve_backend::{Batch, Direction, Engine, KeyRange};

use crate::common::{KEY, META, Numbers, open, real, revision, revisions, small_pages};

/// The writer adds and deletes revisions and writes their number in the same commit; every snapshot must
/// show exactly that number of whole values, while pages are reused and maps outgrown under it.
#[test]
fn snapshots_stay_whole_while_commits_reuse_pages() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&real(), &dir.path().join("db"), small_pages());
    let stop = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = db.snapshot().unwrap();
                    let count = snapshot
                        .get(META, b"count")
                        .unwrap()
                        .map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
                    let mut scan = snapshot
                        .scan(KEY, &KeyRange::all(), Direction::Forward)
                        .unwrap();
                    let mut seen = 0;
                    while let Some((key, value)) = scan.next().unwrap() {
                        assert_eq!(key[..8], value[..8], "a value under its own key");
                        seen += 1;
                    }
                    assert_eq!(seen, count);
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut numbers = Numbers(99);
        let (mut low, mut high) = (0, 0);
        let mut rounds = 0;
        while rounds < 400 || checked.load(Ordering::Relaxed) < 40 {
            rounds += 1;
            let grow = numbers.below(40);
            let mut batch = revisions(high, high + grow, 100);
            high += grow;
            let shrink = numbers
                .below(if rounds % 50 > 25 { 60 } else { 20 })
                .min(high - low);
            (low..low + shrink).for_each(|n| batch.delete(KEY, revision(n)));
            low += shrink;
            let count = Bytes::copy_from_slice(&(high - low).to_be_bytes());
            batch.put(META, Bytes::from_static(b"count"), count);
            db.commit(&batch).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(db.check().is_sound(), "{:?}", db.check().errors);
}

#[test]
fn values_outlive_snapshot_and_engine() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&real(), &dir.path().join("db"), small_pages());
    // One copied, one borrowed from the map.
    let mut batch = Batch::new();
    batch.put(KEY, Bytes::from_static(b"small"), Bytes::from(vec![1; 100]));
    batch.put(
        KEY,
        Bytes::from_static(b"large"),
        Bytes::from(vec![2; 100_000]),
    );
    db.commit(&batch).unwrap();
    let snapshot = db.snapshot().unwrap();
    let small = snapshot.get(KEY, b"small").unwrap().unwrap();
    let large = snapshot.get(KEY, b"large").unwrap().unwrap();
    drop(snapshot);
    assert_eq!(
        db.sizes().open_readers,
        1,
        "the borrowed value keeps its commit"
    );
    let mut other = Batch::new();
    other.delete(KEY, Bytes::from_static(b"small"));
    other.delete(KEY, Bytes::from_static(b"large"));
    db.commit(&other).unwrap();
    // These commits would overwrite the large value's pages if nobody kept them.
    (0..20).for_each(|n| db.commit(&revisions(n * 50, n * 50 + 50, 200)).unwrap());
    drop(db);
    assert!(small.iter().all(|b| *b == 1) && large.iter().all(|b| *b == 2));
}
