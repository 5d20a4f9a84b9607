//! The write-behind batch over this engine: what a power cut leaves is a prefix of the guards, and never
//! less than what was reported durable.
use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{Backend, BackendOptions, Direction, Engine, KeyRange};
use varve_backend_btree::BtreeEngine;
use varve_vfs::{CrashRule, Fault, SimFs};

use crate::common::{KEY, META, revision, small_pages};

const GUARDS: u64 = 60;

/// Every guard writes its revision, deletes an older one and notes its number.
fn write(backend: &Backend) {
    for n in 1..=GUARDS {
        let mut guard = backend.begin();
        guard.put(KEY, revision(n), Bytes::from(vec![1; 100]));
        if n % 3 == 0 {
            guard.delete(KEY, revision(n / 2));
        }
        let number = Bytes::copy_from_slice(&n.to_be_bytes());
        guard.put_latest(META, Bytes::from_static(b"consistent_index"), number);
        guard.set_tag(n);
        guard.end();
        if n % 7 == 0 && backend.commit_due().is_err() {
            return;
        }
    }
}

/// The revisions that exist when guards `1..=last` and no others took effect.
fn expected(last: u64) -> Vec<u64> {
    let gone: Vec<u64> = (1..=last).filter(|n| n % 3 == 0).map(|n| n / 2).collect();
    // A revision is deleted after it was written: 3 deletes 1, 6 deletes 3, and so on.
    (1..=last).filter(|n| !gone.contains(n)).collect()
}

fn run(fs: &SimFs) -> Option<u64> {
    let engine = BtreeEngine::open(fs.shared(), "/db", small_pages()).ok()?;
    let options = BackendOptions {
        batch_limit: 16,
        ..BackendOptions::manual()
    };
    let backend = Backend::open(Arc::new(engine), options).unwrap();
    write(&backend);
    Some(backend.durable_tag())
}

#[test]
fn a_power_cut_leaves_a_prefix_of_the_guards() {
    let healthy = SimFs::new();
    assert_eq!(run(&healthy), Some(56), "the last full seven of 60 guards");
    for op in 0..healthy.op_count() {
        let fs = SimFs::new();
        fs.fail_at(op, Fault::Crash);
        let durable = run(&fs).unwrap_or(0);
        for rule in CrashRule::ALL {
            for seed in 0..3 {
                let image = fs.crash_image(rule, seed);
                let what = format!("operation {op}, {rule:?}, seed {seed}");
                let db = BtreeEngine::open(image.shared(), "/db", small_pages()).unwrap();
                let snapshot = db.snapshot().unwrap();
                let noted = snapshot.get(META, b"consistent_index").unwrap();
                let last = noted.map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
                assert!(
                    last >= durable,
                    "{what}: {durable} was durable, {last} is left"
                );
                let mut found = Vec::new();
                let mut note = |key: &[u8], _: &[u8]| {
                    found.push(u64::from_be_bytes(key[..8].try_into().unwrap()));
                    true
                };
                snapshot
                    .visit(KEY, &KeyRange::all(), Direction::Forward, &mut note)
                    .unwrap();
                assert_eq!(found, expected(last), "{what}");
            }
        }
    }
}
