//! Leases through transactions.

use std::sync::Arc;

use varve_backend::MemoryEngine;
use varve_mvcc::{Error, ManualClock, StoreOptions};

use crate::support::{
    all, delete, manual_options, open, open_on, owned, pairs, put, put_with_lease,
};

fn keys(store: &varve_mvcc::Store, lease: i64) -> Vec<String> {
    let info = store.lessor().time_to_live(lease).unwrap();
    let keys = info.keys.iter();
    keys.map(|key| String::from_utf8(key.to_vec()).unwrap())
        .collect()
}

fn grant(store: &varve_mvcc::Store, id: i64, ttl: i64) -> i64 {
    let mut txn = store.write();
    let ttl = txn.lease_grant(id, ttl).unwrap().ttl;
    txn.end();
    ttl
}

#[test]
fn a_revoked_lease_takes_its_keys_along_in_one_revision() {
    let store = open();
    assert_eq!(grant(&store, 7, 1), 2);
    assert_eq!(store.revision(), 1);
    for key in ["c", "a", "b"] {
        put_with_lease(&store, key, "", 7);
    }
    put(&store, "d", "");
    let mut txn = store.write();
    txn.lease_revoke(7).unwrap();
    assert_eq!(txn.changes(), 3);
    assert_eq!(txn.end(), 6);
    assert_eq!(pairs(&store.read(), &all()), ["d="]);
    assert!(!store.lessor().lookup(7));
    assert!(matches!(
        store.write().lease_revoke(7),
        Err(Error::LeaseNotFound)
    ));
    let key = 7i64.to_be_bytes();
    let stored = store.read().get_raw(varve_mvcc::schema::LEASE, &key);
    assert_eq!(stored.unwrap(), None);
    grant(&store, 8, 60);
    let mut txn = store.write();
    txn.lease_revoke(8).unwrap();
    assert_eq!(txn.end(), 6, "a lease without keys leaves the revision");
}

#[test]
fn a_put_moves_its_key_to_the_lease_it_names() {
    let store = open();
    grant(&store, 1, 60);
    grant(&store, 2, 60);
    put_with_lease(&store, "a", "", 1);
    put_with_lease(&store, "b", "", 1);
    put_with_lease(&store, "a", "", 2);
    assert_eq!(
        (keys(&store, 1), keys(&store, 2)),
        (vec!["b".into()], vec!["a".into()])
    );
    put(&store, "a", "");
    delete(&store, "b");
    assert!(keys(&store, 1).is_empty() && keys(&store, 2).is_empty());
    let mut txn = store.write();
    assert!(matches!(
        txn.put(owned("a"), owned("x"), 3),
        Err(Error::LeaseNotFound)
    ));
    assert_eq!(txn.changes(), 0);
    assert_eq!(txn.end(), 6);
}

#[test]
fn leases_and_attachments_survive_reopening() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    grant(&store, 1, 100);
    grant(&store, 2, 1000);
    put_with_lease(&store, "kept", "", 1);
    put_with_lease(&store, "moved", "", 1);
    put_with_lease(&store, "moved", "", 2);
    put_with_lease(&store, "detached", "", 1);
    put(&store, "detached", "");
    put_with_lease(&store, "deleted", "", 1);
    delete(&store, "deleted");
    store.lessor().set_checkpoint_persist(true);
    let mut txn = store.write();
    txn.lease_checkpoint(2, 700);
    txn.lease_checkpoint(99, 700);
    txn.end();
    store.close().unwrap();
    let store = open_on(engine, manual_options());
    assert_eq!(store.lessor().leases(), [1, 2]);
    assert_eq!(keys(&store, 1), ["kept"]);
    assert_eq!(keys(&store, 2), ["moved"]);
    let info = store.lessor().time_to_live(2).unwrap();
    assert_eq!((info.granted_ttl, info.remaining_ttl), (1000, 700));
}

#[test]
fn an_old_version_may_name_a_lease_that_is_gone() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    grant(&store, 1, 100);
    put_with_lease(&store, "a", "", 1);
    put(&store, "a", "");
    let mut txn = store.write();
    txn.lease_revoke(1).unwrap();
    txn.end();
    store.close().unwrap();
    let store = open_on(engine, manual_options());
    assert_eq!(pairs(&store.read(), &all()), ["a="]);
    assert_eq!(store.lessor().lease_of(b"a"), None);
}

#[test]
fn time_is_the_clock_s_that_was_given() {
    let clock = Arc::new(ManualClock::new());
    let options = StoreOptions {
        clock: Arc::<ManualClock>::clone(&clock),
        ..manual_options()
    };
    let store = open_on(Arc::new(MemoryEngine::new()), options);
    store.lessor().promote(std::time::Duration::ZERO);
    grant(&store, 1, 10);
    clock.advance_ms(9_999);
    assert!(store.lessor().expired(1).is_empty());
    clock.advance_ms(1);
    assert_eq!(store.lessor().expired(1), [1]);
}
