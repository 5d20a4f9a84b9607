//! What commits make of the tree: full pages, merged pages, and no page written without need.
use std::collections::BTreeSet;

use bytes::Bytes;
use varve_backend::{Batch, Engine, Snapshot};
use varve_backend_btree::{BtreeEngine, BtreeOptions, PageKind, TreePage};
use varve_vfs::SimFs;

use crate::common::{KEY, open, real, revision, revisions};

fn pages(db: &BtreeEngine) -> Vec<TreePage> {
    let mut all = Vec::new();
    db.btree_snapshot()
        .tree(&mut |page| {
            all.push(page);
            true
        })
        .unwrap();
    all
}

fn ids(db: &BtreeEngine) -> BTreeSet<u64> {
    pages(db).iter().filter_map(|page| page.id).collect()
}

fn leaves(db: &BtreeEngine) -> Vec<TreePage> {
    let mut all = pages(db);
    all.retain(|page| page.kind == PageKind::Leaf && !page.bucket.is_empty());
    all
}

/// 10,000 revisions with values of 300 bytes, 500 per commit.
fn filled() -> BtreeEngine {
    let options = BtreeOptions {
        move_pages_per_commit: 0,
        ..BtreeOptions::default()
    };
    let db = open(&SimFs::new().shared(), "/db".as_ref(), options);
    (0..20).for_each(|n| db.commit(&revisions(n * 500, n * 500 + 500, 300)).unwrap());
    db
}

fn delete(db: &BtreeEngine, keys: impl Iterator<Item = u64>) {
    let mut batch = Batch::new();
    keys.for_each(|n| batch.delete(KEY, revision(n)));
    db.commit(&batch).unwrap();
}

#[test]
fn growing_keys_fill_pages_and_full_leaves_stay_where_they_are() {
    let db = filled();
    let leaves = leaves(&db);
    // 12 pairs of 333 bytes fit a page.
    let full = leaves.iter().filter(|page| page.count == 12).count();
    assert!(
        full + 25 > leaves.len(),
        "{full} of {} are full: all but the last of a commit",
        leaves.len()
    );
    let before = ids(&db);
    db.commit(&revisions(10_000, 10_120, 300)).unwrap();
    let after = ids(&db);
    // Ten leaves more; the branches above, the bucket of buckets, perhaps the last leaf.
    let new = after.difference(&before).count();
    assert!((10..=15).contains(&new), "{new} pages");
    assert!(before.difference(&after).count() <= 4);
}

#[test]
fn a_commit_that_thins_out_leaves_merges_as_many_as_it_takes() {
    let db = filled();
    let before = leaves(&db).len();
    delete(&db, (0..10_000).filter(|n| n % 30 != 0));
    let left = leaves(&db);
    let keys: usize = left.iter().map(|page| page.count).sum();
    assert_eq!(keys, 334);
    // 28 full pages would hold them; each of seven branches has a last leaf that is not full.
    assert!(left.len() <= 36, "{} leaves of {before}", left.len());
    assert!(db.check().is_sound());
}

#[test]
fn a_range_that_goes_away_costs_its_borders_only() {
    let db = filled();
    let before = ids(&db);
    delete(&db, 1003..9005);
    let after = ids(&db);
    let new = after.difference(&before).count();
    // Two leaves, the branches above them, the bucket of buckets: whole branches are cut off unwritten.
    assert!(new <= 6, "{new} pages written for a range of 8,002 keys");
    assert!(after.len() * 4 < before.len());
    let snapshot = db.btree_snapshot();
    for n in [0, 1002, 9005, 9999] {
        assert!(snapshot.get(KEY, &revision(n)).unwrap().is_some());
    }
    for n in [1003, 5000, 9004] {
        assert_eq!(snapshot.get(KEY, &revision(n)).unwrap(), None);
    }
    assert!(db.check().is_sound());
    // And all of it, in one commit.
    delete(&db, 0..10_000);
    assert_eq!(leaves(&db).len(), 1, "an empty bucket, inline");
}

#[test]
fn values_of_a_page_and_more_share_pages() {
    let db = open(
        &SimFs::new().shared(),
        "/db".as_ref(),
        BtreeOptions::default(),
    );
    (0..10).for_each(|n| db.commit(&revisions(n * 30, n * 30 + 30, 4096)).unwrap());
    let taken: u64 = leaves(&db).iter().map(|page| page.overflow + 1).sum();
    // Two pages each would be 600; three in four pages are 400.
    assert!(taken <= 402, "{taken} pages for 300 values of 4 KiB");
    let snapshot = db.btree_snapshot();
    for n in 0..300 {
        let value = snapshot.get(KEY, &revision(n)).unwrap().unwrap();
        assert_eq!(value[..8], n.to_be_bytes());
        assert_eq!(value.len(), 4096);
        let mut shown = 0;
        let found = snapshot.get_with(KEY, &revision(n), &mut |lent| {
            assert_eq!(lent, &value[..]);
            shown += 1;
        });
        assert!(found.unwrap() && shown == 1);
    }
    assert!(!snapshot.get_with(KEY, b"none", &mut |_| ()).unwrap());
    assert!(db.check().is_sound());
}

/// Values of 4 KiB in one commit, most of them deleted in another, and the file given back its space.
#[test]
fn what_deletions_leave_of_large_values_stays_close_together() {
    let db = open(
        &SimFs::new().shared(),
        "/db".as_ref(),
        BtreeOptions::default(),
    );
    db.commit(&revisions(0, 1400, 4096)).unwrap();
    let taken = |db: &BtreeEngine| {
        let leaves = leaves(db);
        assert!(leaves.iter().all(|page| page.overflow < 8));
        leaves.iter().map(|page| page.overflow + 1).sum::<u64>()
    };
    // Seven in eight pages.
    assert!(taken(&db) <= 1602, "{} pages for 1,400", taken(&db));
    delete(&db, (0..1400).filter(|n| n % 7 == 3));
    assert!(taken(&db) <= 1402, "{} pages for 1,200", taken(&db));
    delete(&db, (0..1400).filter(|n| n % 10 != 0));
    // 120 are left; two pages each would be 240.
    assert!(taken(&db) <= 145, "{} pages for 120", taken(&db));
    db.reclaim().unwrap();
    let (sizes, after) = (db.sizes(), taken(&db));
    assert!(after <= 145, "{after} pages for 120 that were moved");
    assert!(sizes.total_bytes < 170 * 4096, "{sizes:?}");
    let snapshot = db.btree_snapshot();
    for n in 0..1400 {
        let value = snapshot.get(KEY, &revision(n)).unwrap();
        assert_eq!(value.is_some(), n % 10 == 0 && n % 7 != 3);
        assert!(value.is_none_or(|v| v[..8] == n.to_be_bytes()));
    }
    assert!(db.check().is_sound());
}

#[test]
fn snapshots_and_values_stand_while_the_map_grows() {
    let dir = tempfile::tempdir().unwrap();
    let options = BtreeOptions {
        // As small as can be: the file outgrows its map every time it doubles.
        initial_map_bytes: 0,
        ..BtreeOptions::default()
    };
    let db = open(&real(), &dir.path().join("db"), options);
    let mut held: Vec<(u64, _, Option<Bytes>)> = Vec::new();
    for n in 0..40u64 {
        db.commit(&revisions(n * 50, n * 50 + 50, 5000)).unwrap();
        let snapshot = db.btree_snapshot();
        let newest = snapshot.get(KEY, &revision(n * 50 + 49)).unwrap();
        held.push((n, snapshot, newest));
    }
    for (n, snapshot, newest) in held {
        assert_eq!(newest.unwrap()[..8], (n * 50 + 49).to_be_bytes());
        let mut seen = 0;
        let range = varve_backend::KeyRange::all();
        let forward = varve_backend::Direction::Forward;
        snapshot
            .visit(KEY, &range, forward, &mut |key, value| {
                assert_eq!(key[..8], value[..8]);
                seen += 1;
                true
            })
            .unwrap();
        assert_eq!(seen, n * 50 + 50, "the snapshot of commit {n}");
    }
}
