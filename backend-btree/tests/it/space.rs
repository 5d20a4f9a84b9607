//! Space comes back: in ordinary commits, with `reclaim`, and across a restart.
use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{Backend, BackendOptions, Batch, Engine, Snapshot};
use varve_backend_btree::BtreeOptions;
use varve_vfs::{DynFs, SimFs};

use crate::common::{KEY, META, content, open, revision, revisions};

const DB: &str = "/db";

fn options() -> BtreeOptions {
    BtreeOptions {
        grow_bytes: 1 << 16,
        ..BtreeOptions::default()
    }
}

/// 10000 revisions of 300 bytes of which every tenth is kept.
fn thinned(fs: &DynFs) -> varve_backend_btree::BtreeEngine {
    let db = open(fs, DB.as_ref(), options());
    (0..20).for_each(|n| db.commit(&revisions(n * 500, n * 500 + 500, 300)).unwrap());
    for part in 0..10 {
        let mut batch = Batch::new();
        let all = part * 1000..part * 1000 + 1000;
        all.filter(|n| n % 10 != 0)
            .for_each(|n| batch.delete(KEY, revision(n)));
        db.commit(&batch).unwrap();
    }
    db
}

fn live_bytes(snapshot: &dyn Snapshot) -> u64 {
    let all = content(snapshot).unwrap();
    all.values()
        .flatten()
        .map(|(k, v)| 16 + k.len() as u64 + v.len() as u64)
        .sum()
}

/// Values of 4 KiB, each of which needs pages in a row: what lies at the end must find room further down.
#[test]
fn ordinary_commits_shrink_a_file_of_large_values() {
    let fs = SimFs::new().shared();
    let db = open(&fs, DB.as_ref(), options());
    (0..8).for_each(|n| db.commit(&revisions(n * 250, n * 250 + 250, 4096)).unwrap());
    let mut batch = Batch::new();
    (0..2000)
        .filter(|n| n % 10 != 0)
        .for_each(|n| batch.delete(KEY, revision(n)));
    db.commit(&batch).unwrap();
    let full = db.sizes().total_bytes;
    for n in 0..60 {
        db.commit(&revisions(2000 + n, 2001 + n, 10)).unwrap();
    }
    let live = live_bytes(&*db.snapshot().unwrap());
    let now = db.sizes().total_bytes;
    assert!(now * 10 < live * 13, "{full} bytes, then {now} for {live}");
    assert!(db.check().is_sound(), "{:?}", db.check().errors);
}

#[test]
fn reclaim_leaves_a_file_within_a_third_of_what_lives() {
    let fs = SimFs::new().shared();
    let db = thinned(&fs);
    let before = content(&db.btree_snapshot()).unwrap();
    let done = db.reclaim().unwrap();
    assert!(done.bytes_after < done.bytes_before);
    let live = live_bytes(&db.btree_snapshot());
    let len = fs.metadata(DB.as_ref()).unwrap().len_bytes;
    assert_eq!(len, done.bytes_after);
    assert!(
        len * 10 < live * 13,
        "{len} bytes of file for {live} that live"
    );
    assert!(db.check().is_sound());
    assert_eq!(content(&db.btree_snapshot()).unwrap(), before);
}

#[test]
fn ordinary_commits_shrink_the_file_by_themselves() {
    let fs = SimFs::new().shared();
    let db = thinned(&fs);
    let before = fs.metadata(DB.as_ref()).unwrap().len_bytes;
    for n in 0..200u64 {
        let mut batch = Batch::new();
        batch.put(
            META,
            "consistent_index".into(),
            Bytes::copy_from_slice(&n.to_be_bytes()),
        );
        db.commit(&batch).unwrap();
        if n % 20 == 0 {
            assert!(db.check().is_sound());
        }
    }
    let sizes = db.sizes();
    let live = live_bytes(&db.btree_snapshot());
    assert!(
        sizes.total_bytes < live * 2,
        "{} bytes for {live} that live",
        sizes.total_bytes
    );
    let after = fs.metadata(DB.as_ref()).unwrap().len_bytes;
    assert!(after * 2 < before, "{before} bytes became {after}");
}

#[test]
fn a_reader_that_stays_costs_only_what_it_can_see() {
    let fs = SimFs::new().shared();
    let db = open(&fs, DB.as_ref(), options());
    db.commit(&revisions(0, 2000, 100)).unwrap();
    let held = db.btree_snapshot();
    let start = db.sizes().total_bytes;
    let want = content(&held).unwrap();
    // The same 2000 revisions rewritten 50 times: without releasing what came and went after the reader
    // the file would be 50 times as long.
    for _ in 0..50 {
        db.commit(&revisions(0, 2000, 100)).unwrap();
        drop(db.btree_snapshot());
    }
    let grown = db.sizes().total_bytes;
    assert!(grown < 4 * start, "{start} bytes became {grown}");
    assert_eq!(content(&held).unwrap(), want);
}

/// Files go back and forth between those who write a freelist page and those who do not.
#[test]
fn a_persisted_freelist_is_let_go_of_and_comes_back() {
    let fs = SimFs::new().shared();
    let synced = BtreeOptions {
        freelist_sync: true,
        ..options()
    };
    for round in 0..6u64 {
        let options = if round % 2 == 0 {
            synced.clone()
        } else {
            options()
        };
        let db = open(&fs, DB.as_ref(), options);
        db.commit(&revisions(round * 100, round * 100 + 100, 300))
            .unwrap();
        let mut thin = Batch::new();
        (0..round * 100)
            .filter(|n| n % 3 == 0)
            .for_each(|n| thin.delete(KEY, revision(n)));
        db.commit(&thin).unwrap();
        let report = db.check();
        assert!(report.is_sound(), "round {round}: {:?}", report.errors);
        // Nothing leaks: what is not in use is free, and what the engine calls free is free.
        let pages = db.sizes().total_bytes / db.page_size();
        assert_eq!(report.used_pages + report.free_pages + 2, pages);
        drop(db);
    }
}

/// The backend's own snapshot must not hold on to what is to be given back.
#[test]
fn reclaim_through_a_backend_gives_back_as_much() {
    let fs = SimFs::new().shared();
    let db = Arc::new(thinned(&fs));
    let engine = Arc::clone(&db) as Arc<dyn Engine>;
    let backend = Backend::open(engine, BackendOptions::default()).unwrap();
    let pending = revisions(20_000, 20_001, 50);
    let mut guard = backend.begin();
    for (key, _) in pending.ops(KEY) {
        guard.put(KEY, key.clone(), Bytes::from_static(b"pending"));
    }
    guard.end();
    let done = backend.reclaim().unwrap();
    let live = live_bytes(&db.btree_snapshot());
    assert!(
        done.bytes_after * 10 < live * 13,
        "{} bytes for {live}",
        done.bytes_after
    );
    let view = backend.view();
    assert_eq!(
        view.get(KEY, &revision(20_000)).unwrap().unwrap(),
        "pending"
    );
    assert!(view.get(KEY, &revision(9990)).unwrap().is_some());
    drop(view);
    backend.close().unwrap();
    assert!(db.check().is_sound());
}
