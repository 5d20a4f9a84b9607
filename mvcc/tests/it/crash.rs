//! Power cuts and failing disks under a store over the B+tree: whatever is left opens, is the store as
//! some whole transaction left it, and goes on (a compaction that was under way included) to the same
//! rows and hashes.

use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{Backend, BackendOptions, Engine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{Durability, Store, schema};
use varve_vfs::{CrashRule, Fault, SimFs};

use crate::etcd_model::EtcdModel;
use crate::model::{check_all, check_rows, name};
use crate::support::{finish_compaction, manual_options};
use varve_mvcc::Revision;

const TXNS: u64 = 80;

fn open(fs: &SimFs) -> Result<Store, varve_mvcc::Error> {
    let options = BtreeOptions {
        page_size: 512,
        initial_map_bytes: 0,
        mmap: false,
        ..BtreeOptions::default()
    };
    let engine: Arc<dyn Engine> = Arc::new(BtreeEngine::open(fs.shared(), "/db", options)?);
    let backend = Backend::open(engine, BackendOptions::manual())?;
    Store::open(backend, manual_options())
}

/// Transaction `n` on both: two puts and, every third time, a deletion; every tenth compacts behind.
fn transaction(store: Option<&Store>, model: &mut EtcdModel, n: u64, durable: bool) -> bool {
    let main = model.revision + 1;
    let pick = |k: u64| name(u8::try_from((n * 7 + k * 5) % 12).unwrap());
    let value = Bytes::from(vec![u8::try_from(n % 251).unwrap(); 90]);
    let mut txn = store.map(Store::write);
    let mut sub = 0;
    for k in 0..2 {
        let revision = Revision::new(main, sub);
        model.put(&pick(k), &value, revision);
        if let Some(txn) = &mut txn {
            assert_eq!(txn.put(pick(k), value.clone(), 0).unwrap(), revision);
        }
        sub += 1;
    }
    if n % 3 == 2 {
        let deleted = model.delete(&pick(2), None, main, &mut sub);
        if let Some(txn) = &mut txn {
            assert_eq!(txn.delete_range(&pick(2), &Bytes::new()).unwrap(), deleted);
        }
    }
    model.revision = main;
    let compaction = (n % 10 == 9).then_some(main - 6);
    if let Some(at) = compaction {
        model.compact(at);
    }
    let Some(mut txn) = txn else { return true };
    if let Some(at) = compaction {
        txn.compact(at).unwrap();
    }
    txn.set_applied(n + 1, 1);
    let durability = if durable {
        Durability::Immediate
    } else {
        Durability::Batch
    };
    txn.end_with(durability).is_ok()
}

/// Works until the disk gives up; returns how many transactions were durable for sure.
fn work(fs: &SimFs) -> u64 {
    let Ok(store) = open(fs) else { return 0 };
    let mut model = EtcdModel::new();
    let mut durable = 0;
    for n in 0..TXNS {
        let wait = n % 4 == 3;
        if !transaction(Some(&store), &mut model, n, wait) {
            break;
        }
        if wait {
            durable = n + 1;
        }
        // Part of a compaction now and then, so that crashes meet it half done.
        if n % 2 == 1 && store.step_compaction().is_err() {
            break;
        }
    }
    if finish(&store) { TXNS } else { durable }
}

fn finish(store: &Store) -> bool {
    loop {
        match store.step_compaction() {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => return false,
        }
    }
    store.close().is_ok()
}

/// Opens what is left, which must be what some number of transactions, no fewer than the durable
/// ones, left behind; then goes on from there as a replayed log would.
fn verify(fs: &SimFs, durable: u64, what: &str) {
    let store = open(fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    let applied = schema::consistent_index(&store.backend().view())
        .unwrap()
        .unwrap_or(0);
    assert!(applied >= durable, "{what}: lost {applied} of {durable}");
    let mut model = EtcdModel::new();
    for n in 0..applied {
        transaction(None, &mut model, n, false);
    }
    check_all(&store.read(), &model);
    assert_eq!(store.compact_revision(), model.compacted, "{what}");
    finish_compaction(&store);
    check_rows(&store, &model);
    let hash = |store: &Store| store.hash_kv(0).unwrap().hash;
    assert_eq!(Some(hash(&store)), model.hash_kv(0), "{what}");
    for n in applied..TXNS {
        assert!(
            transaction(Some(&store), &mut model, n, n % 5 == 0),
            "{what}"
        );
    }
    finish_compaction(&store);
    check_all(&store.read(), &model);
    check_rows(&store, &model);
    assert_eq!(Some(hash(&store)), model.hash_kv(0), "{what}");
}

/// Operations of an undisturbed run.
fn operations() -> u64 {
    let fs = SimFs::new();
    assert_eq!(work(&fs), TXNS);
    verify(&fs, TXNS, "undisturbed");
    let fresh = SimFs::new();
    work(&fresh);
    let count = fresh.op_count();
    assert!(
        count > 180,
        "{count} operations: the workload became too small"
    );
    count
}

#[test]
fn after_a_crash_at_any_operation_the_store_is_as_a_transaction_left_it() {
    let count = operations();
    for op in 0..count {
        let fs = SimFs::new();
        fs.fail_at(op, Fault::Crash);
        let durable = work(&fs);
        for rule in CrashRule::ALL {
            let image = fs.crash_image(rule, op);
            verify(
                &image,
                durable,
                &format!("crash at {op} of {count}, {rule:?}"),
            );
        }
    }
}

#[test]
fn after_a_failed_operation_the_store_refuses_and_loses_nothing_it_confirmed() {
    let count = operations();
    for op in 0..count {
        let fs = SimFs::new();
        fs.fail_at(op, Fault::Eio);
        let durable = work(&fs);
        fs.heal();
        let image = fs.crash_image(CrashRule::LoseUnsynced, 0);
        verify(&image, durable, &format!("EIO at {op} of {count}"));
    }
}
