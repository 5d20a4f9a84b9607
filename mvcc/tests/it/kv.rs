//! Reading and writing.

use std::sync::Arc;

use bytes::Bytes;
use varve_backend::MemoryEngine;
use varve_mvcc::schema::{self, MEMBERS, META};
use varve_mvcc::{Error, RangeOptions, Revision, SortOrder, SortTarget};

use crate::support::{
    all, compact, compact_fully, delete, finish_compaction, get, manual_options, open, open_on,
    owned, pairs, put,
};

#[test]
fn a_fresh_store_stands_at_revision_1_and_has_all_buckets() {
    let store = open();
    assert_eq!((store.revision(), store.compact_revision()), (1, -1));
    assert_eq!(store.read().range(&all()).unwrap().count, 0);
    let buckets = store.backend().view().buckets().unwrap();
    let names: Vec<&[u8]> = buckets.iter().map(|name| &name[..]).collect();
    assert_eq!(
        names,
        schema::ALL_BUCKETS.map(varve_backend::Bucket::as_bytes)
    );
}

#[test]
fn a_transaction_sees_its_own_writes_and_others_see_them_when_it_ends() {
    let store = open();
    put(&store, "a", "1");
    let before = store.read();
    let mut txn = store.write();
    assert_eq!(txn.revision(), 2);
    assert_eq!(txn.range(&all()).unwrap().revision, 2);
    assert_eq!(
        txn.put(owned("b"), owned("2"), 0).unwrap(),
        Revision::new(3, 0)
    );
    assert_eq!(txn.delete_range(&owned("a"), &Bytes::new()).unwrap(), 1);
    assert_eq!(
        txn.put(owned("c"), owned("3"), 0).unwrap(),
        Revision::new(3, 2)
    );
    let own = txn.range(&all()).unwrap();
    assert_eq!((own.kvs.len(), own.count, own.revision), (2, 2, 3));
    let old = txn.range(&all().at(2)).unwrap();
    assert_eq!((old.kvs.len(), old.count, old.revision), (1, 1, 3));
    assert_eq!(txn.changes(), 3);
    assert_eq!(pairs(&store.read(), &all()), ["a=1"]);
    assert_eq!(txn.end(), 3);
    assert_eq!(pairs(&store.read(), &all()), ["b=2", "c=3"]);
    assert_eq!(pairs(&before, &all()), ["a=1"]);
    assert_eq!(pairs(&store.read(), &all().at(2)), ["a=1"]);
}

#[test]
fn a_transaction_without_changes_consumes_no_revision() {
    let store = open();
    put(&store, "a", "1");
    let mut txn = store.write();
    assert_eq!(txn.delete_range(&owned("x"), &owned("\0")).unwrap(), 0);
    txn.set_applied(7, 3);
    assert_eq!(txn.end(), 2);
    let view = store.backend().view();
    assert_eq!(schema::consistent_index(&view).unwrap(), Some(7));
    assert_eq!(schema::term(&view).unwrap(), Some(3));
}

#[test]
fn a_transaction_that_is_dropped_ends() {
    let store = open();
    let mut txn = store.write();
    txn.put(owned("a"), owned("1"), 0).unwrap();
    drop(txn);
    assert_eq!(store.revision(), 2);
    assert_eq!(pairs(&store.read(), &all()), ["a=1"]);
}

#[test]
fn versions_count_from_creation_and_begin_again_after_a_deletion() {
    let store = open();
    put(&store, "a", "1");
    put(&store, "a", "2");
    delete(&store, "a");
    put(&store, "a", "3");
    let at = |revision| {
        let kvs = get(&store.read(), &RangeOptions::key("a").at(revision));
        kvs.first()
            .map(|kv| (kv.create_revision, kv.mod_revision, kv.version))
    };
    assert_eq!(at(1), None);
    assert_eq!(at(2), Some((2, 2, 1)));
    assert_eq!(at(3), Some((2, 3, 2)));
    assert_eq!(at(4), None);
    assert_eq!(at(5), Some((5, 5, 1)));
}

#[test]
fn ranges_end_where_they_are_told_to() {
    let store = open();
    for key in ["a", "ab", "b", "c"] {
        put(&store, key, "");
    }
    let keys = |key: &str, end: &str| {
        let options = RangeOptions {
            key: owned(key),
            end: owned(end),
            ..RangeOptions::default()
        };
        pairs(&store.read(), &options).concat()
    };
    assert_eq!(keys("a", ""), "a=");
    assert_eq!(keys("a", "b"), "a=ab=");
    assert_eq!(keys("ab", "\0"), "ab=b=c=");
    assert_eq!(keys("\0", "\0"), "a=ab=b=c=");
    assert_eq!(keys("b", "b"), "");
    assert_eq!(keys("c", "a"), "");
}

#[test]
fn a_limit_cuts_and_the_count_does_not() {
    let store = open();
    for key in ["a", "b", "c"] {
        put(&store, key, "");
    }
    delete(&store, "b");
    for revision in [0, 4] {
        let live = if revision == 0 { 2 } else { 3 };
        for limit in 0..5 {
            let options = RangeOptions {
                limit,
                ..all().at(revision)
            };
            let result = store.read().range(&options).unwrap();
            let shown = if limit == 0 { live } else { live.min(limit) };
            assert_eq!(result.kvs.len(), usize::try_from(shown).unwrap());
            assert_eq!((result.count, result.more), (live, shown < live));
            assert_eq!(result.revision, 5);
            let counted = RangeOptions {
                count_only: true,
                ..options
            };
            let counted = store.read().range(&counted).unwrap();
            assert_eq!((counted.kvs.len(), counted.count), (0, live));
            assert!(!counted.more);
        }
    }
}

#[test]
fn results_are_ordered_by_what_was_asked_for() {
    let store = open();
    for (key, value) in [("b", "1"), ("a", "3"), ("c", "2"), ("b", "1")] {
        put(&store, key, value);
    }
    let keys = |target, sort, limit| {
        let options = RangeOptions {
            target,
            sort,
            limit,
            ..all()
        };
        let kvs = get(&store.read(), &options);
        let keys: Vec<u8> = kvs.iter().map(|kv| kv.key[0]).collect();
        String::from_utf8(keys).unwrap()
    };
    use SortOrder::{Ascend, Descend, None};
    use SortTarget::{Create, Key, Mod, Value, Version};
    assert_eq!(keys(Key, None, 0), "abc");
    assert_eq!(keys(Key, Descend, 0), "cba");
    assert_eq!(keys(Key, Descend, 1), "c");
    assert_eq!(keys(Version, Ascend, 0), "acb");
    assert_eq!(keys(Version, Descend, 0), "bac");
    assert_eq!(keys(Create, Ascend, 0), "bac");
    assert_eq!(keys(Mod, Ascend, 0), "acb");
    assert_eq!(keys(Value, Ascend, 2), "bc");
    assert_eq!(keys(Value, Descend, 2), "ac");
    // The quirk: without an order the limit (and the one row that shows there is more) comes first.
    assert_eq!(keys(Value, None, 0), "bca");
    assert_eq!(keys(Value, None, 1), "b");
    assert_eq!(keys(Mod, None, 1), "a");
    put(&store, "0", "9");
    assert_eq!(keys(Value, None, 1), "a");
}

#[test]
fn filters_drop_rows_before_the_limit_and_not_from_the_count() {
    let store = open();
    for key in ["a", "b", "c", "a"] {
        put(&store, key, "");
    }
    let keys = |options: RangeOptions| {
        let result = store
            .read()
            .range(&RangeOptions {
                limit: 1,
                ..options
            })
            .unwrap();
        assert_eq!(result.count, 3);
        (
            crate::support::decode(&result.kvs)
                .iter()
                .map(|kv| kv.key[0])
                .collect::<Vec<_>>(),
            result.more,
        )
    };
    assert_eq!(
        keys(RangeOptions {
            min_mod_revision: 3,
            ..all()
        }),
        (b"a".to_vec(), true)
    );
    assert_eq!(
        keys(RangeOptions {
            max_mod_revision: 3,
            ..all()
        }),
        (b"b".to_vec(), false)
    );
    assert_eq!(
        keys(RangeOptions {
            min_create_revision: 4,
            ..all()
        }),
        (b"c".to_vec(), false)
    );
    assert_eq!(
        keys(RangeOptions {
            max_create_revision: 2,
            ..all()
        }),
        (b"a".to_vec(), false)
    );
}

#[test]
fn keys_only_leaves_nothing_but_the_value_out() {
    let store = open();
    let mut txn = store.write();
    txn.lease_grant(5, 60).unwrap();
    txn.put(owned("a"), owned("long value"), 5).unwrap();
    txn.end();
    let options = RangeOptions {
        keys_only: true,
        ..all()
    };
    let full = get(&store.read(), &all());
    let mut bare = get(&store.read(), &options);
    assert_eq!(bare[0].lease, 5);
    assert!(bare[0].value.is_empty());
    bare[0].value = full[0].value.clone();
    assert_eq!(bare, full);
}

#[test]
fn a_located_range_loads_to_what_the_range_gives() {
    let store = open();
    for key in ["a", "b", "c"] {
        put(&store, key, key);
    }
    let view = store.read();
    let located = view.locate(&all()).unwrap();
    let loaded = located
        .revisions
        .iter()
        .map(|r| view.load(*r, false).unwrap());
    assert_eq!(loaded.collect::<Vec<_>>(), view.range(&all()).unwrap().kvs);
    assert_eq!((located.count, located.more), (3, false));
}

#[test]
fn revisions_outside_of_what_is_kept_are_refused() {
    let store = open();
    for _ in 0..4 {
        put(&store, "a", "");
    }
    let read = |revision| store.read().range(&RangeOptions::key("a").at(revision));
    assert!(matches!(read(6), Err(Error::FutureRevision)));
    compact(&store, 3);
    for finished in [false, true] {
        if finished {
            finish_compaction(&store);
        }
        assert!(matches!(read(2), Err(Error::Compacted)));
        assert_eq!(read(3).unwrap().count, 1);
        assert_eq!(read(-7).unwrap().count, 1);
        assert!(matches!(store.hash_kv(2), Err(Error::Compacted)));
        assert!(matches!(store.hash_kv(6), Err(Error::FutureRevision)));
        store.hash_kv(3).unwrap();
    }
    let refused = |revision| store.write().compact(revision);
    assert!(matches!(refused(3), Err(Error::Compacted)));
    assert!(matches!(refused(-1), Err(Error::Compacted)));
    assert!(matches!(refused(6), Err(Error::FutureRevision)));
    assert_eq!(store.compact_revision(), 3);
    compact_fully(&store, 5);
}

#[test]
fn revision_0_is_compacted_on_a_fresh_store_and_only_there() {
    let store = open();
    compact(&store, 0);
    assert_eq!(store.compact_revision(), 0);
    assert!(matches!(store.write().compact(0), Err(Error::Compacted)));
}

#[test]
fn a_view_outlives_the_compaction_of_what_it_shows() {
    let store = open();
    for value in ["1", "2", "3"] {
        put(&store, "a", value);
        put(&store, "b", value);
    }
    delete(&store, "b");
    let view = store.read();
    compact_fully(&store, 8);
    assert_eq!(pairs(&view, &all().at(5)), ["a=2", "b=2"]);
    assert_eq!(pairs(&view, &all()), ["a=3"]);
    assert_eq!(store.stats().compacted_rows, 5);
    assert_eq!(pairs(&store.read(), &all()), ["a=3"]);
}

#[test]
fn those_who_wait_for_a_compaction_are_told_when_its_rows_are_gone() {
    let store = open();
    for _ in 0..20 {
        put(&store, "a", "");
    }
    let (told, waits) = std::sync::mpsc::channel();
    let wait = |revision| {
        let told = told.clone();
        store.on_compaction_done(
            revision,
            Box::new(move |at| told.send((revision, at)).unwrap()),
        );
    };
    compact(&store, 10);
    wait(10);
    wait(15);
    assert!(!store.compaction_done(10));
    finish_compaction(&store);
    assert_eq!(waits.try_recv(), Ok((10, 10)));
    assert!(waits.try_recv().is_err());
    compact(&store, 20);
    finish_compaction(&store);
    assert_eq!(waits.try_recv(), Ok((15, 20)));
    wait(20);
    assert_eq!(waits.try_recv(), Ok((20, 20)));
}

#[test]
fn other_buckets_change_in_the_same_commit() {
    let store = open();
    let mut txn = store.write();
    txn.put_raw(MEMBERS, owned("1"), owned("{}"));
    txn.put_raw(META, owned("confState"), owned("{}"));
    assert_eq!(txn.get_raw(MEMBERS, b"1").unwrap(), Some(owned("{}")));
    txn.delete_raw(META, owned("confState"));
    txn.end();
    let view = store.read();
    assert_eq!(view.get_raw(MEMBERS, b"1").unwrap(), Some(owned("{}")));
    assert_eq!(view.get_raw(META, b"confState").unwrap(), None);
}

#[test]
fn a_reopened_store_is_the_store_that_was_closed() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    for key in ["a", "b", "a", "c"] {
        put(&store, key, key);
    }
    delete(&store, "b");
    compact_fully(&store, 4);
    let hash = store.hash_kv(0).unwrap();
    store.close().unwrap();
    let store = open_on(engine, manual_options());
    assert_eq!((store.revision(), store.compact_revision()), (6, 4));
    assert_eq!(pairs(&store.read(), &all()), ["a=a", "c=c"]);
    assert_eq!(pairs(&store.read(), &all().at(4)), ["a=a", "b=b"]);
    assert_eq!(store.hash_kv(0).unwrap(), hash);
    assert_eq!(put(&store, "a", ""), 7);
    assert_eq!(get(&store.read(), &RangeOptions::key("a"))[0].version, 3);
}

#[test]
fn the_revision_does_not_go_back_when_compaction_removes_the_newest_row() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    put(&store, "a", "");
    delete(&store, "a");
    compact_fully(&store, 3);
    put(&store, "b", "");
    delete(&store, "b");
    compact_fully(&store, 5);
    store.close().unwrap();
    let store = open_on(engine, manual_options());
    assert_eq!(store.revision(), 5);
    assert_eq!(store.read().range(&all()).unwrap().count, 0);
    assert_eq!(put(&store, "b", ""), 6);
    assert_eq!(get(&store.read(), &all())[0].version, 1);
}

#[test]
fn a_compaction_that_was_cut_short_is_resumed() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    for n in 0..30 {
        put(&store, "a", &n.to_string());
    }
    compact(&store, 20);
    // Some rows are gone, not all.
    for _ in 0..12 {
        assert!(store.step_compaction().unwrap());
    }
    assert!(store.stats().compacted_rows > 0);
    store.close().unwrap();
    let store = open_on(engine, manual_options());
    assert_eq!(store.compact_revision(), 20);
    assert!(!store.compaction_done(20));
    finish_compaction(&store);
    assert!(store.compaction_done(20));
    assert!(
        store.compaction_hashes().is_empty(),
        "a resumed hash says nothing"
    );
    assert_eq!(pairs(&store.read(), &all().at(20)), ["a=18"]);
    let view = store.backend().view();
    let everything = varve_backend::KeyRange::all();
    let mut rows = view
        .scan(schema::KEY, &everything, varve_backend::Direction::Forward)
        .unwrap();
    let mut count = 0;
    while rows.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn other_content_takes_the_place_of_a_store() {
    let other = Arc::new(MemoryEngine::new());
    let store = open_on(other.clone(), manual_options());
    for key in ["a", "b", "c"] {
        put(&store, key, "new");
    }
    store.close().unwrap();
    let store = open();
    put(&store, "z", "old");
    store.restore(other).unwrap();
    assert_eq!(store.revision(), 4);
    assert_eq!(pairs(&store.read(), &all()), ["a=new", "b=new", "c=new"]);
    assert_eq!(put(&store, "d", ""), 5);
}

#[test]
fn damaged_rows_are_named_and_not_read_past() {
    // A sound row first: the damage is found behind it.
    let sound = Bytes::from_static(b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0");
    let other = b"\0\0\0\0\0\0\0\x03_\0\0\0\0\0\0\0\0";
    let same = b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0t";
    let negative = b"\x0a\x01k\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
    for (key, value, says) in [
        (&b"short"[..], &b""[..], "17 or 18 bytes"),
        (other, b"\x0a\xff", "3.0 of bucket key: byte 0"),
        (same, b"\x0a\x01k", "one row per revision"),
        (other, negative, "version of 0 or more"),
    ] {
        let engine = Arc::new(MemoryEngine::new());
        let backend =
            varve_backend::Backend::open(engine, varve_backend::BackendOptions::manual()).unwrap();
        let mut guard = backend.begin();
        guard.put(schema::KEY, sound.clone(), Bytes::from_static(b"\x0a\x01k"));
        guard.put(
            schema::KEY,
            Bytes::from_static(key),
            Bytes::from_static(value),
        );
        guard.end();
        let error = varve_mvcc::Store::open(backend, manual_options()).unwrap_err();
        assert!(error.is_corruption());
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn damaged_numbers_of_the_store_are_named() {
    for key in [
        schema::META_SCHEDULED_COMPACT,
        schema::META_FINISHED_COMPACT,
        schema::META_CONSISTENT_INDEX,
    ] {
        let engine = Arc::new(MemoryEngine::new());
        let backend =
            varve_backend::Backend::open(engine, varve_backend::BackendOptions::manual()).unwrap();
        let mut guard = backend.begin();
        guard.put(META, Bytes::from_static(key.as_bytes()), owned("odd"));
        guard.end();
        let view = backend.view();
        let error = match key {
            schema::META_CONSISTENT_INDEX => schema::consistent_index(&view).unwrap_err(),
            _ => varve_mvcc::Store::open(backend, manual_options()).unwrap_err(),
        };
        assert!(error.is_corruption());
        assert!(error.to_string().starts_with(key), "{error}");
    }
}

#[test]
fn a_finished_compaction_is_on_disk() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    for _ in 0..5 {
        put(&store, "a", "");
    }
    compact_fully(&store, 5);
    put(&store, "a", "lost");
    // A manual backend that is dropped loses what it has not committed, as in a crash.
    drop(store);
    let store = open_on(engine, manual_options());
    assert!(store.compaction_done(5));
    assert_eq!(store.revision(), 6);
    assert!(!store.step_compaction().unwrap());
    assert!(matches!(
        store.read().range(&all().at(4)),
        Err(Error::Compacted)
    ));
}
