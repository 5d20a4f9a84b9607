//! Power cuts and failing operations at every step of a workload.
use varve_backend::{Batch, Engine, MemoryEngine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{CrashRule, Fault, SimFs};

use crate::common::{Content, KEY, LEASE, META, content, revision, revisions, small_pages};

const DB: &str = "/db";

/// Steps that between them create, grow, split, merge, overflow, delete a bucket, shrink and cut.
fn steps() -> Vec<Step> {
    let mut fill = revisions(0, 60, 60);
    fill.put(META, "consistent_index".into(), "1".into());
    let mut spread = Batch::new();
    for n in 0..30 {
        spread.put(
            LEASE,
            format!("lease{:02}", n * 7 % 30).into(),
            vec![1; 50].into(),
        );
    }
    let mut big = revisions(60, 64, 20);
    big.put(LEASE, "lease05".into(), vec![2; 3000].into());
    let mut thin = Batch::new();
    (0..55).for_each(|n| thin.delete(KEY, revision(n)));
    thin.put(META, "consistent_index".into(), "2".into());
    let mut gone = Batch::new();
    gone.delete_bucket(LEASE);
    vec![
        Step::Commit(fill),
        Step::Commit(spread),
        Step::Commit(big),
        Step::Commit(thin),
        Step::Commit(revisions(64, 70, 40)),
        Step::Commit(gone),
        Step::Reclaim,
        Step::Commit(revisions(70, 100, 40)),
        Step::Commit(revisions(80, 81, 500)),
    ]
}

enum Step {
    Commit(Batch),
    Reclaim,
}

/// What the store holds after each number of commits.
fn expected() -> Vec<Content> {
    let model = MemoryEngine::new();
    let mut states = vec![content(&*model.snapshot().unwrap()).unwrap()];
    for step in steps() {
        if let Step::Commit(batch) = step {
            model.commit(&batch).unwrap();
            states.push(content(&*model.snapshot().unwrap()).unwrap());
        }
    }
    states
}

/// Runs the workload as far as it gets; returns how many commits were acknowledged and whether
/// everything went well.
fn work(fs: &SimFs, options: &BtreeOptions) -> (usize, bool, Option<BtreeEngine>) {
    let Ok(db) = BtreeEngine::open(fs.shared(), DB, options.clone()) else {
        return (0, false, None);
    };
    let mut acknowledged = 0;
    for step in steps() {
        let done = match step {
            Step::Commit(batch) => db.commit(&batch).map(|()| acknowledged += 1),
            Step::Reclaim => db.reclaim().map(drop),
        };
        if done.is_err() {
            return (acknowledged, false, Some(db));
        }
    }
    let closed = db.close().is_ok();
    (acknowledged, closed, Some(db))
}

/// Opens what is on the disk, which must be whole and one of the two commits around the crash, and
/// writes to it.
fn verify(fs: &SimFs, options: &BtreeOptions, states: &[Content], acknowledged: usize, what: &str) {
    let db = BtreeEngine::open(fs.shared(), DB, options.clone())
        .unwrap_or_else(|e| panic!("{what}: does not open: {e}"));
    let report = db.check();
    assert!(report.is_sound(), "{what}: {:?}", report.errors);
    let found = content(&db.btree_snapshot()).unwrap();
    let in_flight = states.get(acknowledged + 1);
    assert!(
        found == states[acknowledged] || Some(&found) == in_flight,
        "{what}: neither the {acknowledged} acknowledged commits nor the one in flight"
    );
    db.commit(&revisions(1000, 1010, 30)).unwrap();
    assert!(db.check().is_sound(), "{what}: after the next commit");
}

fn crash_everywhere(options: &BtreeOptions) {
    let states = expected();
    let healthy = SimFs::new();
    let (acknowledged, well, db) = work(&healthy, options);
    drop(db);
    assert!(well && acknowledged + 1 == states.len());
    let operations = healthy.op_count();
    assert!(operations > 40, "a workload of {operations} operations");
    for op in 0..operations {
        let fs = SimFs::new();
        fs.fail_at(op, Fault::Crash);
        let (acknowledged, _, db) = work(&fs, options);
        for rule in CrashRule::ALL {
            let seeds = match rule {
                CrashRule::Subset | CrashRule::Torn => 6,
                _ => 1,
            };
            for seed in 0..seeds {
                let image = fs.crash_image(rule, seed);
                let what = format!("operation {op}, {rule:?}, seed {seed}");
                verify(&image, options, &states, acknowledged, &what);
            }
        }
        drop(db);
    }
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_commit() {
    crash_everywhere(&small_pages());
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_commit_that_is_synced_while_it_is_written() {
    let plain = SimFs::new();
    drop(work(&plain, &small_pages()));
    // Before, between and after the pages of nearly every commit.
    let options = BtreeOptions {
        sync_ahead_bytes: 1024,
        ..small_pages()
    };
    let ahead = SimFs::new();
    drop(work(&ahead, &options));
    assert!(ahead.op_count() > plain.op_count() + 8);
    crash_everywhere(&options);
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_commit_with_freelist_and_sidecar() {
    crash_everywhere(&BtreeOptions {
        freelist_sync: true,
        ..small_pages()
    });
    crash_everywhere(&BtreeOptions {
        freelist_sidecar: true,
        ..small_pages()
    });
}

fn fail_everywhere(options: &BtreeOptions) {
    let states = expected();
    let healthy = SimFs::new();
    drop(work(&healthy, options));
    for op in 0..healthy.op_count() {
        for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
            let fs = SimFs::new();
            fs.fail_at(op, fault);
            let (acknowledged, well, db) = work(&fs, options);
            let what = format!("operation {op}, {fault:?}");
            if let Some(db) = &db {
                let shown = content(&db.btree_snapshot()).unwrap();
                assert_eq!(
                    shown, states[acknowledged],
                    "{what}: readers see the last commit"
                );
                if !well {
                    let error = db.commit(&revisions(5000, 5001, 1)).unwrap_err();
                    assert!(error.is_poisoned(), "{what}: {error}");
                }
            }
            assert!(
                well || fault != Fault::ShortWrite,
                "{what}: a short write is finished"
            );
            drop(db);
            let images = CrashRule::ALL.map(|rule| fs.crash_image(rule, op));
            fs.heal();
            verify(&fs, options, &states, acknowledged, &what);
            for (image, rule) in images.iter().zip(CrashRule::ALL) {
                let what = format!("{what}, then {rule:?}");
                verify(image, options, &states, acknowledged, &what);
            }
        }
    }
}

#[test]
fn a_failed_operation_stops_all_commits_and_loses_none() {
    fail_everywhere(&small_pages());
    fail_everywhere(&BtreeOptions {
        sync_ahead_bytes: 1024,
        ..small_pages()
    });
}
