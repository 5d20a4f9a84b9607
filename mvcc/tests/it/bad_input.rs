//! What cannot be asked for: refused with a typed error, or answered with nothing, and nothing changes.

use bytes::Bytes;
use varve_backend::{Direction, KeyRange, MAX_VALUE_LEN};
use varve_mvcc::{
    Error, MAX_LEASE_TTL_SECONDS, RangeOptions, Result, Revision, Store, WatchError, WatchOptions,
    WriteTxn, schema,
};

use crate::support::{all, compact_fully, open, owned, pairs, put, put_with_lease, stream};

/// Everything there is to see.
#[derive(Debug, PartialEq)]
struct State {
    /// Revisions and leases.
    numbers: Vec<i64>,
    /// Every row of every bucket.
    rows: Vec<(Bytes, Bytes)>,
    /// What each readable revision shows.
    revisions: Vec<Vec<String>>,
}

fn state(store: &Store) -> State {
    let view = store.backend().view();
    let mut rows = Vec::new();
    for bucket in schema::ALL_BUCKETS {
        let mut scan = view
            .scan(bucket, &KeyRange::all(), Direction::Forward)
            .unwrap();
        while let Some(pair) = scan.next().unwrap() {
            rows.push(pair);
        }
    }
    let mut numbers = vec![store.revision(), store.compact_revision()];
    numbers.extend(store.lessor().leases());
    numbers.extend(store.lessor().lease_of(b"a"));
    let revisions = store.compact_revision()..=store.revision();
    let read = revisions.map(|at| pairs(&store.read(), &all().at(at)));
    State {
        numbers,
        rows,
        revisions: read.collect(),
    }
}

fn filled() -> Store {
    let store = open();
    let mut txn = store.write();
    txn.lease_grant(7, 60).unwrap();
    txn.end();
    put(&store, "a", "1");
    put(&store, "b", "2");
    put_with_lease(&store, "a", "3", 7);
    compact_fully(&store, 3);
    store
}

/// Tries something in a transaction of its own; it must fail and change nothing.
fn refused<T>(store: &Store, f: impl FnOnce(&mut WriteTxn<'_>) -> Result<T>) -> Error {
    let before = state(store);
    let mut txn = store.write();
    let Err(error) = f(&mut txn) else {
        panic!("it was done");
    };
    assert_eq!(txn.changes(), 0);
    txn.end();
    assert_eq!(state(store), before, "{error}");
    error
}

#[test]
fn pairs_that_cannot_be_stored_are_refused_before_anything_changes() {
    let store = filled();
    let put = |key: &'static str, value: Bytes, lease| {
        refused(&store, |txn| txn.put(owned(key), value, lease))
    };
    assert!(matches!(put("", owned("v"), 0), Error::EmptyKey));
    assert!(matches!(put("", owned("v"), 7), Error::EmptyKey));
    for unknown in [1, -1, i64::MIN, i64::MAX] {
        assert!(matches!(
            put("a", owned("v"), unknown),
            Error::LeaseNotFound
        ));
    }
    // Pages that nobody touches cost no memory.
    for len in [MAX_VALUE_LEN - 1, MAX_VALUE_LEN, 1 << 31] {
        let error = put("a", Bytes::from(vec![0; len]), 7);
        let Error::TooLarge { len: told, limit } = error else {
            panic!("{error}");
        };
        assert!(told > len && limit == MAX_VALUE_LEN);
    }
    // Whatever else the transaction does counts.
    let mut txn = store.write();
    txn.put(owned(""), owned(""), 0).unwrap_err();
    assert_eq!(
        txn.put(owned("c"), owned(""), 0).unwrap(),
        Revision::new(5, 0)
    );
    txn.put(owned("c"), owned(""), 9).unwrap_err();
    assert_eq!(
        txn.put(owned("d"), owned(""), 0).unwrap(),
        Revision::new(5, 1)
    );
    assert_eq!(txn.end(), 5);
    assert_eq!(pairs(&store.read(), &all()), ["a=3", "b=2", "c=", "d="]);
}

#[test]
fn leases_that_cannot_be_are_refused() {
    let store = filled();
    let grant = |id, ttl| refused(&store, |txn| txn.lease_grant(id, ttl));
    assert!(matches!(grant(0, 60), Error::LeaseNotFound));
    assert!(matches!(grant(7, 60), Error::LeaseExists));
    assert!(matches!(
        grant(8, MAX_LEASE_TTL_SECONDS + 1),
        Error::LeaseTtlTooLarge
    ));
    assert!(matches!(grant(8, i64::MAX), Error::LeaseTtlTooLarge));
    for unknown in [0, 8, -7, i64::MIN] {
        let error = refused(&store, |txn| txn.lease_revoke(unknown));
        assert!(matches!(error, Error::LeaseNotFound));
        assert!(store.lessor().time_to_live(unknown).is_none());
        store.lessor().renew(unknown).unwrap_err();
    }
    let before = state(&store);
    let mut txn = store.write();
    txn.lease_checkpoint(8, 10);
    txn.end();
    assert_eq!(state(&store), before, "nobody knows the lease");
    let mut txn = store.write();
    assert_eq!(txn.lease_grant(9, i64::MIN).unwrap().ttl, 2);
    assert_eq!(txn.lease_grant(-9, -1).unwrap().ttl, 2);
    txn.end();
}

#[test]
fn revisions_that_cannot_be_are_refused() {
    let store = filled();
    let view = store.read();
    let read = |revision| view.range(&RangeOptions::key("a").at(revision));
    for now in [0, -1, i64::MIN] {
        assert_eq!(read(now).unwrap().kvs, read(4).unwrap().kvs);
    }
    for (revision, future) in [(1, false), (2, false), (5, true), (i64::MAX, true)] {
        let compact = refused(&store, |txn| txn.compact(revision));
        let all = [
            read(revision).unwrap_err(),
            store.hash_kv(revision).unwrap_err(),
            compact,
        ];
        for error in all {
            match error {
                Error::FutureRevision => assert!(future),
                Error::Compacted => assert!(!future),
                other => panic!("{other}"),
            }
        }
    }
    for revision in [3, 0, -1, i64::MIN] {
        let error = refused(&store, |txn| txn.compact(revision));
        assert!(matches!(error, Error::Compacted), "{revision}");
    }
    let stream = stream(&store);
    for start_revision in [-1, i64::MIN] {
        let options = WatchOptions {
            key: owned("a"),
            start_revision,
            ..WatchOptions::default()
        };
        assert_eq!(stream.watch(options), Err(WatchError::NegativeRevision));
    }
}

#[test]
fn ranges_that_hold_nothing_find_and_delete_nothing() {
    let store = filled();
    let before = state(&store);
    for (key, end) in [("", ""), ("b", "a"), ("b", "b"), ("x", ""), ("x", "z")] {
        let options = RangeOptions {
            end: owned(end),
            ..RangeOptions::key(owned(key))
        };
        for at in [0, 3] {
            let found = store.read().range(&options.clone().at(at)).unwrap();
            assert_eq!((found.count, found.kvs.len(), found.more), (0, 0, false));
        }
        let mut txn = store.write();
        assert_eq!(txn.delete_range(&owned(key), &owned(end)).unwrap(), 0);
        assert_eq!(txn.end(), 4);
        assert_eq!(state(&store), before, "{key:?} to {end:?}");
    }
}

#[test]
fn negative_limits_and_bounds_limit_nothing() {
    let store = filled();
    let view = store.read();
    for number in [-1, i64::MIN] {
        let options = RangeOptions {
            limit: number,
            ..all()
        };
        assert_eq!(pairs(&view, &options), ["a=3", "b=2"]);
        let options = RangeOptions {
            min_mod_revision: number,
            min_create_revision: number,
            ..all()
        };
        assert_eq!(pairs(&view, &options), ["a=3", "b=2"]);
        // An upper bound that is below every revision leaves nothing, as in etcd.
        let options = RangeOptions {
            max_mod_revision: number,
            ..all()
        };
        assert_eq!(view.range(&options).unwrap().kvs, [] as [Bytes; 0]);
    }
}
