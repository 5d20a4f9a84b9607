//! The store with its background thread, readers and a writer at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use varve_backend::{Backend, BackendOptions, MemoryEngine};
use varve_mvcc::{Publish, RangeOptions, Store, StoreOptions, WatchItem, WatchOptions};

use crate::support::{compact, decode, owned};

fn open(publish: Publish) -> Store {
    let backend = Backend::open(
        Arc::new(MemoryEngine::new()),
        BackendOptions {
            batch_interval: Duration::from_millis(1),
            ..BackendOptions::default()
        },
    )
    .unwrap();
    let options = StoreOptions {
        compaction_pause: Duration::ZERO,
        compaction_batch_limit: 50,
        publish,
        ..StoreOptions::default()
    };
    Store::open(backend, options).unwrap()
}

#[test]
fn readers_always_see_whole_transactions_while_others_write_and_compact() {
    for publish in [Publish::Always, Publish::WhenRead] {
        see_whole_transactions(publish);
    }
}

fn see_whole_transactions(publish: Publish) {
    // Every transaction adds one to all of ten counters; a reader must find them equal, at the
    // newest revision and at any it may still ask for.
    const COUNTERS: usize = 10;
    const TXNS: i64 = 2000;
    let store = open(publish);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reads = 0u64;
                while !stop.load(Ordering::Relaxed) || reads == 0 {
                    let view = store.read();
                    let oldest = view.compact_revision().max(2);
                    for at in [0, view.revision(), i64::midpoint(oldest, view.revision())] {
                        let found = view.range(&RangeOptions::prefix("n").at(at)).unwrap();
                        let values: Vec<_> =
                            decode(&found.kvs).into_iter().map(|kv| kv.value).collect();
                        if view.revision() > 1 {
                            assert_eq!(values.len(), COUNTERS);
                        }
                        assert!(values.windows(2).all(|two| two[0] == two[1]), "torn read");
                    }
                    reads += 1;
                }
            });
        }
        for n in 0..TXNS {
            let mut txn = store.write();
            for i in 0..COUNTERS {
                txn.put(owned(&format!("n{i}")), owned(&n.to_string()), 0)
                    .unwrap();
            }
            let revision = txn.end();
            if n % 97 == 96 {
                compact(&store, revision - 30);
            }
        }
        let (done, waits) = mpsc::channel();
        let newest = store.compact_revision();
        store.on_compaction_done(newest, Box::new(move |at| done.send(at).unwrap()));
        assert_eq!(waits.recv().unwrap(), newest);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(store.failure().is_none());
    store.close().unwrap();
}

#[test]
fn a_watcher_that_drains_late_gets_every_revision_once() {
    const PUTS: i64 = 3000;
    let store = open(Publish::Always);
    let (wake, woken) = mpsc::channel::<()>();
    let stream = store.watch_stream(Arc::new(move || {
        assert!(wake.send(()).is_ok(), "the receiver outlives the writer");
    }));
    let options = WatchOptions {
        key: owned("k"),
        start_revision: 2,
        ..WatchOptions::default()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..PUTS {
                let mut txn = store.write();
                txn.put(owned("k"), owned(&n.to_string()), 0).unwrap();
                txn.end();
            }
        });
        stream.watch(options).unwrap();
        let mut next = 2;
        while next < 2 + PUTS {
            woken.recv().unwrap();
            loop {
                let items = stream.drain(100);
                if items.is_empty() {
                    break;
                }
                for item in items {
                    let WatchItem::Events { events, .. } = item else {
                        panic!("only events were asked for: {item:?}");
                    };
                    for event in events {
                        let kv = crate::support::event(&event).kv.unwrap();
                        assert_eq!(kv.mod_revision, next);
                        next += 1;
                    }
                }
            }
        }
    });
    store.close().unwrap();
}

#[test]
fn a_store_that_is_dropped_stops_its_thread() {
    let store = open(Publish::Always);
    let stream = crate::support::stream(&store);
    let other = store.clone();
    drop(store);
    crate::support::put(&other, "a", "1");
    drop(other);
    assert!(stream.drain(1).is_empty());
}

#[test]
fn a_reader_sees_what_ended_before_it_asked_however_long_nobody_read() {
    // Long enough for transactions to stop leaving pictures, then a reader at each point.
    let store = open(Publish::WhenRead);
    for round in 1..=100 {
        for n in 0..round {
            crate::support::put(&store, "k", &n.to_string());
        }
        let view = store.read();
        assert_eq!(view.revision(), store.revision());
        let found = decode(&view.range(&RangeOptions::key("k")).unwrap().kvs);
        assert_eq!(found[0].mod_revision, store.revision());
        assert_eq!(found[0].value, (round - 1).to_string());
    }
}

#[test]
fn a_reader_waits_for_nobody_while_pictures_are_always_left() {
    // The transaction is open, so a reader that waited for it would wait for ever.
    let store = open(Publish::Always);
    crate::support::put(&store, "k", "before");
    let mut txn = store.write();
    txn.put(owned("k"), owned("after"), 0).unwrap();
    for _ in 0..2 {
        let found = decode(&store.read().range(&RangeOptions::key("k")).unwrap().kvs);
        assert_eq!(found[0].value, "before");
        assert_eq!(store.stats().current_revision, 2);
    }
    txn.end();
}
