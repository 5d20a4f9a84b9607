//! Other content in the place of a store that serves: what a member does that received a snapshot.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use varve_backend::{Direction, Engine, KeyRange, MemoryEngine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{
    ManualClock, RangeOptions, Store, StoreOptions, WatchItem, WatchOptions, WatchStream, schema,
};
use varve_vfs::RealFs;

use crate::support::{
    all, compact, compact_fully, event, finish_compaction, get, manual_options, open, open_on,
    owned, pairs, put, put_with_lease, stream,
};

/// An engine with what `fill` writes, at raft index 7, term 2.
fn content(fill: impl FnOnce(&Store)) -> Arc<dyn Engine> {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let store = open_on(Arc::clone(&engine), manual_options());
    fill(&store);
    let mut txn = store.write();
    txn.set_applied(7, 2);
    txn.end();
    store.close().unwrap();
    engine
}

fn puts(key: &'static str, revisions: std::ops::RangeInclusive<i64>) -> impl FnOnce(&Store) {
    move |store| {
        for revision in revisions {
            assert_eq!(put(store, key, &revision.to_string()), revision);
        }
    }
}

fn watch(id: i64, key: &str, start_revision: i64) -> WatchOptions {
    WatchOptions {
        id: Some(id),
        key: owned(key),
        start_revision,
        ..WatchOptions::default()
    }
}

/// Modification revisions of all events of a watcher, and its cancellation.
fn told(store: &Store, stream: &WatchStream, watcher: i64) -> (Vec<i64>, Option<i64>) {
    while store.step_watchers() {}
    let (mut revisions, mut cancelled) = (Vec::new(), None);
    for item in stream.drain(usize::MAX) {
        match item {
            WatchItem::Events { id, events, .. } if id == watcher => {
                revisions.extend(events.iter().map(|e| event(e).kv.unwrap().mod_revision));
            }
            WatchItem::Compacted {
                id,
                compact_revision,
            } if id == watcher => cancelled = Some(compact_revision),
            _ => {}
        }
    }
    (revisions, cancelled)
}

#[test]
fn all_handles_see_the_new_content_and_old_views_the_old() {
    let old: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let freed = Arc::downgrade(&old);
    let store = open_on(old, manual_options());
    let clone = store.clone();
    put(&store, "z", "old");
    store.backend().force_commit().unwrap();
    put(&store, "z", "not committed");
    let view = store.read();
    store.restore(content(puts("a", 2..=4))).unwrap();
    assert_eq!((clone.revision(), clone.compact_revision()), (4, -1));
    assert_eq!(pairs(&clone.read(), &all()), ["a=4"]);
    assert_eq!(pairs(&clone.read(), &all().at(2)), ["a=2"]);
    assert_eq!(view.revision(), 3);
    assert_eq!(pairs(&view, &all()), ["z=not committed"]);
    assert_eq!(pairs(&view, &all().at(2)), ["z=old"]);
    let backend = clone.backend().view();
    assert_eq!(schema::consistent_index(&backend).unwrap(), Some(7));
    assert_eq!(put(&clone, "b", ""), 5);
    drop(view);
    assert!(
        freed.upgrade().is_none(),
        "the old engine ends with its views"
    );
}

#[test]
fn damaged_content_is_refused_and_the_store_goes_on() {
    let damaged = content(|store| {
        put(store, "a", "1");
        let mut txn = store.write();
        txn.put_raw(schema::KEY, owned("no revision"), owned(""));
        txn.end();
    });
    let store = open();
    put(&store, "z", "1");
    let mut txn = store.write();
    txn.lease_grant(3, 60).unwrap();
    txn.end();
    let stream = stream(&store);
    stream.watch(watch(0, "z", 0)).unwrap();
    assert!(store.restore(damaged).unwrap_err().is_corruption());
    assert_eq!(put(&store, "z", "2"), 3);
    assert_eq!(pairs(&store.read(), &all()), ["z=2"]);
    assert!(store.lessor().lookup(3));
    assert_eq!(told(&store, &stream, 0), (vec![3], None));
}

#[test]
fn watchers_go_on_behind_what_they_were_told() {
    // Watched at revision 3, restored at 9: what lies between comes from the new content, once.
    let store = open();
    puts("a", 2..=3)(&store);
    let stream = stream(&store);
    stream.watch(watch(0, "a", 0)).unwrap();
    stream.watch(watch(1, "a", 2)).unwrap();
    stream.watch(watch(2, "a", 8)).unwrap();
    stream.watch(watch(3, "a", 11)).unwrap();
    store.restore(content(puts("a", 2..=9))).unwrap();
    while store.step_watchers() {}
    puts("a", 10..=11)(&store);
    let mut seen = [const { Vec::new() }; 4];
    for item in stream.drain(usize::MAX) {
        let WatchItem::Events { id, events, .. } = item else {
            panic!("only events: {item:?}");
        };
        let id = usize::try_from(id).unwrap();
        seen[id].extend(events.iter().map(|e| event(e).kv.unwrap().mod_revision));
    }
    assert_eq!(seen[0], (4..=11).collect::<Vec<_>>());
    assert_eq!(seen[1], (2..=11).collect::<Vec<_>>());
    assert_eq!(seen[2], [8, 9, 10, 11]);
    assert_eq!(seen[3], [11]);
}

#[test]
fn a_watcher_whose_next_revision_is_compacted_there_is_cancelled_with_the_compact_revision() {
    let store = open();
    puts("a", 2..=3)(&store);
    let stream = stream(&store);
    stream.watch(watch(0, "a", 0)).unwrap();
    let ahead = content(|store| {
        puts("a", 2..=9)(store);
        compact_fully(store, 7);
    });
    store.restore(ahead).unwrap();
    assert_eq!(told(&store, &stream, 0), (vec![], Some(7)));
    assert_eq!(stream.is_synced(0), None);
    assert_eq!(store.stats().watchers, 0);
}

#[test]
fn a_watcher_that_is_further_than_the_new_content_waits_for_it() {
    let store = open();
    puts("a", 2..=6)(&store);
    let stream = stream(&store);
    stream.watch(watch(0, "a", 0)).unwrap();
    store.restore(content(puts("a", 2..=3))).unwrap();
    puts("a", 4..=8)(&store);
    assert_eq!(told(&store, &stream, 0), (vec![7, 8], None));
}

#[test]
fn leases_are_those_of_the_new_content_and_time_goes_on() {
    let clock = Arc::new(ManualClock::new());
    let options = StoreOptions {
        clock: Arc::<ManualClock>::clone(&clock),
        ..manual_options()
    };
    let store = open_on(Arc::new(MemoryEngine::new()), options);
    let grant = |store: &Store, id, ttl| {
        let mut txn = store.write();
        txn.lease_grant(id, ttl).unwrap();
        txn.end();
    };
    grant(&store, 1, 5);
    grant(&store, 2, 500);
    store.lessor().promote(Duration::ZERO);
    clock.advance_ms(4_000);
    let other = content(|store| {
        grant(store, 2, 10);
        grant(store, 9, 20);
        put_with_lease(store, "k", "v", 9);
    });
    store.restore(other).unwrap();
    assert_eq!(store.lessor().leases(), [2, 9]);
    assert_eq!(store.lessor().lease_of(b"k"), Some(9));
    assert!(store.lessor().is_primary());
    clock.advance_ms(10_000);
    assert_eq!(store.lessor().expired(9), [2]);
    clock.advance_ms(10_000);
    assert_eq!(store.lessor().expired(9), [2, 9]);
    let mut txn = store.write();
    txn.lease_revoke(9).unwrap();
    txn.end();
    assert_eq!(pairs(&store.read(), &all()), [""; 0]);
}

#[test]
fn a_compaction_under_way_ends_with_its_content_and_that_of_the_new_one_is_finished() {
    let store = open();
    puts("a", 2..=30)(&store);
    let (done, seen) = mpsc::channel();
    store.on_compaction_done(20, Box::new(move |at| done.send(at).unwrap()));
    compact(&store, 20);
    assert!(store.step_compaction().unwrap());
    let other = content(|store| {
        puts("a", 2..=40)(store);
        compact(store, 25);
    });
    store.restore(other).unwrap();
    assert_eq!(store.compact_revision(), 25);
    assert!(seen.try_recv().is_err());
    finish_compaction(&store);
    assert_eq!(seen.recv().unwrap(), 25);
    assert_eq!(pairs(&store.read(), &all().at(25)), ["a=25"]);
    assert_eq!(store.hash_kv(0).unwrap().compact_revision, 25);

    // Done elsewhere: those who wait are told at once.
    let (done, seen) = mpsc::channel();
    store.on_compaction_done(50, Box::new(move |at| done.send(at).unwrap()));
    let finished = content(|store| {
        puts("a", 2..=60)(store);
        compact_fully(store, 55);
    });
    store.restore(finished).unwrap();
    assert_eq!(seen.try_recv().unwrap(), 55);
}

#[test]
fn a_failure_of_the_old_engine_is_forgotten() {
    let fs = varve_vfs::SimFs::new();
    let options = BtreeOptions {
        mmap: false,
        ..BtreeOptions::default()
    };
    let engine = BtreeEngine::open(fs.shared(), "/db", options).unwrap();
    let store = open_on(Arc::new(engine), manual_options());
    fs.fail_at(fs.op_count(), varve_vfs::Fault::Eio);
    put(&store, "a", "1");
    store.backend().force_commit().unwrap_err();
    store.restore(content(puts("a", 2..=4))).unwrap();
    put(&store, "a", "5");
    store.backend().force_commit().unwrap();
    assert!(store.failure().is_none());
}

#[test]
fn an_export_is_the_store_at_one_raft_index() {
    let store = open();
    for n in 2..=50 {
        let mut txn = store.write();
        let key = Bytes::from(format!("k{:02}", n % 10));
        txn.put(key, owned(&n.to_string()), 0).unwrap();
        txn.set_applied(100 + n, 3);
        txn.end();
    }
    compact(&store, 30);
    store.step_compaction().unwrap();
    let mut export = store.export().unwrap();
    assert_eq!((export.consistent_index, export.term), (Some(150), Some(3)));
    assert_eq!(export.revision, 50);
    put(&store, "later", "");
    let mut image = vec![0; usize::try_from(export.image.len()).unwrap()];
    let mut at = 0;
    while at < image.len() {
        at += export.image.read(&mut image[at..]).unwrap();
    }
    assert_eq!(export.image.read(&mut [0]).unwrap(), 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    std::fs::write(&path, &image).unwrap();
    let engine = BtreeEngine::open(RealFs::shared(), path, BtreeOptions::default()).unwrap();
    let other = open();
    other.restore(Arc::new(engine)).unwrap();
    assert_eq!((other.revision(), other.compact_revision()), (50, 30));
    let view = other.backend().view();
    assert_eq!(schema::consistent_index(&view).unwrap(), Some(150));
    for revision in 30..=50 {
        let asked = all().at(revision);
        let mut here = pairs(&store.read(), &asked);
        here.retain(|pair| !pair.starts_with("later"));
        assert_eq!(pairs(&other.read(), &asked), here);
    }
    finish_compaction(&store);
    finish_compaction(&other);
    let hash = |store: &Store| store.hash_kv(50).unwrap().hash;
    assert_eq!(hash(&store), hash(&other));
}

#[test]
fn readers_see_one_content_or_the_other_and_never_a_mixture() {
    // Both contents name revisions the other does not have; an index of one over the rows of the
    // other would miss rows or show the wrong value.
    const ROUNDS: usize = 200;
    fn fill(value: &'static str, extra: i64) -> Arc<dyn Engine> {
        content(move |store| {
            for n in 0..20 + extra {
                put(store, &format!("k{:02}", n % 10), value);
            }
        })
    }
    let store = open_on(fill("x", 0), manual_options());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) || seen == 0 {
                    let view = store.read();
                    let found = get(&view, &RangeOptions::prefix("k"));
                    assert_eq!(found.len(), 10);
                    let odd = view.revision() % 2 == 1;
                    let value = if odd { "x" } else { "y" };
                    assert!(found.iter().all(|kv| kv.value == value));
                    seen += 1;
                }
            });
        }
        for round in 0..ROUNDS {
            let engine = if round % 2 == 0 {
                fill("y", 1)
            } else {
                fill("x", 0)
            };
            store.restore(engine).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn many_rows_are_read_back_as_few_are_and_damage_among_them_is_found() {
    // Enough for a second thread to build the index, from several batches; compared with the store that
    // wrote them.
    const KEYS: u64 = 90_000;
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let store = open_on(Arc::clone(&engine), manual_options());
    let mut txn = store.write();
    txn.lease_grant(5, 60).unwrap();
    for n in 0..KEYS {
        let n = n * 7919 % KEYS;
        let lease = i64::from(n.is_multiple_of(3)) * 5;
        txn.put(Bytes::from(format!("k{n:05}")), owned("v"), lease)
            .unwrap();
    }
    txn.end();
    for n in (0..KEYS).step_by(5) {
        let mut txn = store.write();
        let key = Bytes::from(format!("k{n:05}"));
        match n % 2 {
            0 => assert_eq!(txn.delete_range(&key, &Bytes::new()).unwrap(), 1),
            _ => drop(txn.put(key, owned("w"), 0).unwrap()),
        }
        txn.end();
    }
    store.backend().force_commit().unwrap();
    let other = open();
    other.restore(Arc::clone(&engine)).unwrap();
    assert_eq!(other.revision(), store.revision());
    for revision in [2, 9000, store.revision()] {
        let asked = all().at(revision);
        let answers = [&store, &other].map(|s| s.read().range(&asked).unwrap());
        assert_eq!(answers[0], answers[1]);
    }
    let leased = [&store, &other].map(|s| s.lessor().time_to_live(5).unwrap().keys);
    assert_eq!(leased[0], leased[1]);
    assert_eq!(
        store.hash_kv(0).unwrap().hash,
        other.hash_kv(0).unwrap().hash
    );
    // What the rows told of what a compaction may remove: of each key the newest put is left. The last
    // transaction was a put, and deletions before it go.
    compact_fully(&other, other.revision());
    let view = other.backend().view();
    let mut left = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        left += 1;
        true
    };
    view.visit(
        schema::KEY,
        &KeyRange::all(),
        Direction::Forward,
        &mut count,
    )
    .unwrap();
    assert_eq!(left, other.stats().keys);
    let mut txn = store.write();
    txn.put_raw(schema::KEY, owned("zzz"), owned(""));
    txn.end();
    store.close().unwrap();
    assert!(open().restore(engine).unwrap_err().is_corruption());
}
