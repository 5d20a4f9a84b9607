//! What a watcher is told, case by case.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use varve_backend::MemoryEngine;
use varve_mvcc::{
    ALL_WATCHERS, Store, StoreOptions, WatchError, WatchItem, WatchLimits, WatchOptions,
    WatchStream,
};
use varve_proto::mvccpb::event::EventType;

use crate::support::{
    compact_fully, delete, event, manual_options, open, open_on, owned, put, stream,
};

pub(crate) fn watch(key: &str, start: i64) -> WatchOptions {
    WatchOptions {
        key: owned(key),
        start_revision: start,
        ..WatchOptions::default()
    }
}

fn prefix(key: &str, start: i64) -> WatchOptions {
    WatchOptions {
        end: varve_mvcc::prefix_end(key.as_bytes()),
        ..watch(key, start)
    }
}

/// Items as text: `id@header: put key=value/mod (previous)`.
fn told(stream: &WatchStream) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let shown = |bytes: &Bytes| {
        let event = event(bytes);
        let kv = event.kv.clone().unwrap();
        let before = event.prev_kv.as_ref();
        let before = before.map_or(String::new(), |kv| format!(" ({})", text(&kv.value)));
        match event.r#type() {
            EventType::Put => {
                format!(
                    "put {}={}/{}{before}",
                    text(&kv.key),
                    text(&kv.value),
                    kv.mod_revision
                )
            }
            EventType::Delete => format!("del {}/{}{before}", text(&kv.key), kv.mod_revision),
        }
    };
    let items = stream.drain(usize::MAX).into_iter().map(|item| match item {
        WatchItem::Events {
            id,
            revision,
            events,
        } => {
            let events: Vec<_> = events.iter().map(shown).collect();
            format!("{id}@{revision}: {}", events.join(", "))
        }
        WatchItem::Compacted {
            id,
            compact_revision,
        } => format!("{id} compacted {compact_revision}"),
        WatchItem::Progress { id, revision } => format!("{id} progress {revision}"),
    });
    items.collect()
}

fn catch_up(store: &Store) {
    while store.step_watchers() {}
}

#[test]
fn a_new_watcher_is_told_what_happens_from_then_on() {
    let store = open();
    put(&store, "a", "1");
    let stream = stream(&store);
    assert_eq!(stream.watch(watch("a", 0)), Ok((0, 2)));
    put(&store, "a", "2");
    put(&store, "b", "x");
    delete(&store, "a");
    delete(&store, "a");
    assert_eq!(told(&stream), ["0@3: put a=2/3", "0@5: del a/5"]);
    assert_eq!(told(&stream), [] as [&str; 0]);
}

#[test]
fn events_of_one_transaction_arrive_together_in_order() {
    let store = open();
    let stream = stream(&store);
    stream.watch(prefix("", 0)).unwrap();
    stream.watch(watch("b", 0)).unwrap();
    let mut txn = store.write();
    txn.put(owned("c"), owned("1"), 0).unwrap();
    txn.put(owned("b"), owned("2"), 0).unwrap();
    txn.delete_range(&owned("c"), &Bytes::new()).unwrap();
    txn.end();
    let expected = ["0@2: put c=1/2, put b=2/2, del c/2", "1@2: put b=2/2"];
    assert_eq!(told(&stream), expected);
    // And the same from history.
    let late = crate::support::stream(&store);
    late.watch(prefix("", 1)).unwrap();
    catch_up(&store);
    assert_eq!(told(&late), expected[..1]);
}

#[test]
fn a_past_start_is_served_from_history_up_to_the_present_and_on() {
    let store = open();
    for value in ["1", "2", "3"] {
        put(&store, "a", value);
    }
    let stream = stream(&store);
    assert_eq!(stream.watch(watch("a", 3)), Ok((0, 4)));
    assert_eq!(stream.is_synced(0), Some(false));
    put(&store, "a", "4");
    assert_eq!(told(&stream), [] as [&str; 0]);
    catch_up(&store);
    assert_eq!(stream.is_synced(0), Some(true));
    put(&store, "a", "5");
    assert_eq!(
        told(&stream),
        ["0@5: put a=2/3, put a=3/4, put a=4/5", "0@6: put a=5/6"]
    );
}

#[test]
fn a_future_start_waits_for_its_revision() {
    let store = open();
    let stream = stream(&store);
    stream.watch(watch("a", 4)).unwrap();
    assert_eq!(stream.is_synced(0), Some(true));
    for value in ["2", "3", "4", "5"] {
        put(&store, "a", value);
    }
    assert_eq!(told(&stream), ["0@4: put a=4/4", "0@5: put a=5/5"]);
}

#[test]
fn a_start_before_the_compaction_ends_the_watcher_and_at_it_does_not() {
    let store = open();
    for value in ["2", "3", "4"] {
        put(&store, "a", value);
    }
    compact_fully(&store, 3);
    let stream = stream(&store);
    stream.watch(watch("a", 2)).unwrap();
    stream.watch(watch("a", 3)).unwrap();
    catch_up(&store);
    let mut all = told(&stream);
    all.sort();
    assert_eq!(all, ["0 compacted 3", "1@4: put a=3/3, put a=4/4"]);
    assert_eq!(stream.is_synced(0), None);
    assert!(!stream.cancel(0));
    // Its id is free again.
    let again = WatchOptions {
        id: Some(0),
        ..watch("a", 0)
    };
    assert_eq!(stream.watch(again), Ok((0, 4)));
}

#[test]
fn requests_that_cannot_be_are_refused_with_etcd_s_words() {
    let store = open();
    let stream = stream(&store);
    let range = |key: &str, end: &str| WatchOptions {
        end: owned(end),
        ..watch(key, 0)
    };
    for options in [range("b", "a"), range("a", "a")] {
        let refused = stream.watch(options).unwrap_err();
        assert_eq!(refused.to_string(), "mvcc: watcher range is empty");
    }
    assert_eq!(
        stream.watch(watch("a", -1)),
        Err(WatchError::NegativeRevision)
    );
    let numbered = |id| WatchOptions {
        id: Some(id),
        ..watch("a", 0)
    };
    assert_eq!(stream.watch(numbered(1)), Ok((1, 1)));
    assert_eq!(stream.watch(numbered(1)), Err(WatchError::DuplicateId));
    assert_eq!(stream.watch(watch("a", 0)), Ok((0, 1)));
    assert_eq!(stream.watch(watch("a", 0)), Ok((2, 1)), "1 is taken");
    assert_eq!(stream.watch(range("a", "\0")), Ok((3, 1)));
}

#[test]
fn filters_and_previous_pairs_are_per_watcher() {
    let store = open();
    put(&store, "a", "1");
    let live = stream(&store);
    for (no_put, no_delete, prev_kv) in [
        (true, false, false),
        (false, true, true),
        (false, false, true),
    ] {
        let options = WatchOptions {
            no_put,
            no_delete,
            prev_kv,
            ..watch("a", 0)
        };
        live.watch(options).unwrap();
    }
    put(&store, "a", "2");
    delete(&store, "a");
    put(&store, "a", "3");
    let expected = [
        "1@3: put a=2/3 (1)",
        "2@3: put a=2/3 (1)",
        "0@4: del a/4",
        "2@4: del a/4 (2)",
        "1@5: put a=3/5",
        "2@5: put a=3/5",
    ];
    assert_eq!(told(&live), expected);
    let late = stream(&store);
    let options = WatchOptions {
        prev_kv: true,
        ..watch("a", 3)
    };
    late.watch(options).unwrap();
    catch_up(&store);
    assert_eq!(told(&late), ["0@5: put a=2/3 (1), del a/4 (2), put a=3/5"]);
}

#[test]
fn a_previous_pair_that_is_compacted_is_left_out() {
    let store = open();
    for value in ["2", "3", "4"] {
        put(&store, "a", value);
    }
    compact_fully(&store, 3);
    let stream = stream(&store);
    let options = WatchOptions {
        prev_kv: true,
        ..watch("a", 3)
    };
    stream.watch(options).unwrap();
    catch_up(&store);
    assert_eq!(told(&stream), ["0@4: put a=3/3, put a=4/4 (3)"]);
}

#[test]
fn progress_stands_behind_all_events_and_only_when_all_are_synced() {
    let store = open();
    let stream = stream(&store);
    assert!(!stream.request_progress(), "nobody watches");
    stream.watch(watch("a", 0)).unwrap();
    put(&store, "a", "1");
    assert!(stream.request_progress());
    assert!(stream.request_progress_of(0));
    assert!(!stream.request_progress_of(7));
    assert_eq!(
        told(&stream),
        [
            "0@2: put a=1/2".to_owned(),
            format!("{ALL_WATCHERS} progress 2"),
            "0 progress 2".into()
        ]
    );
    stream.watch(watch("a", 1)).unwrap();
    assert!(!stream.request_progress());
    assert!(stream.request_progress_of(0));
    catch_up(&store);
    assert!(stream.request_progress());
    assert_eq!(
        told(&stream),
        ["0 progress 2", "1@2: put a=1/2", "-1 progress 2"]
    );
    stream.watch(watch("a", 9)).unwrap();
    assert!(!stream.request_progress(), "revision 9 has not come");
}

#[test]
fn a_cancelled_watcher_is_told_nothing_more() {
    let store = open();
    put(&store, "a", "0");
    let stream = stream(&store);
    stream.watch(watch("a", 0)).unwrap();
    stream.watch(watch("a", 1)).unwrap();
    assert!(stream.cancel(0) && stream.cancel(1));
    assert!(!stream.cancel(0));
    put(&store, "a", "1");
    catch_up(&store);
    assert_eq!(told(&stream), [] as [&str; 0]);
    drop(stream);
    let stats = store.stats();
    assert_eq!((stats.watchers, stats.watch_streams), (0, 0));
}

#[test]
fn a_consumer_is_woken_once_until_it_drains() {
    let store = open();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let stream = store.watch_stream(Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    stream.watch(watch("a", 0)).unwrap();
    for _ in 0..3 {
        put(&store, "a", "");
    }
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!(told(&stream).len(), 3);
    put(&store, "a", "");
    assert_eq!(woken.load(Ordering::Relaxed), 2);
}

#[test]
fn a_drain_takes_about_what_it_is_told_to() {
    let store = open();
    let stream = stream(&store);
    stream.watch(watch("a", 0)).unwrap();
    for _ in 0..4 {
        put(&store, "a", &"x".repeat(1000));
    }
    assert_eq!(stream.drain(0).len(), 1);
    assert_eq!(stream.drain(1500).len(), 2);
    assert_eq!(stream.drain(1500).len(), 1);
}

#[test]
fn a_consumer_that_stops_draining_costs_a_bounded_queue_and_loses_nothing() {
    let options = StoreOptions {
        watch: WatchLimits {
            queue_bytes: 1000,
            recent_bytes: 500,
            catch_up_revisions: 2,
            catch_up_bytes: 300,
            catch_up_watchers: 1,
        },
        ..manual_options()
    };
    let store = open_on(Arc::new(MemoryEngine::new()), options);
    let slow = stream(&store);
    let fast = stream(&store);
    slow.watch(watch("a", 0)).unwrap();
    fast.watch(watch("a", 0)).unwrap();
    for n in 0..50 {
        put(&store, "a", &format!("{n:0100}"));
        assert_eq!(told(&fast).len(), 1, "nobody waits for the slow one");
    }
    assert_eq!(slow.is_synced(0), Some(false));
    assert_eq!(store.stats().slow_watchers, 1);
    assert!(store.stats().pending_events > 40);
    catch_up(&store);
    let mut next = 2;
    let mut rounds = 0;
    while next < 52 {
        let items = slow.drain(usize::MAX);
        let bytes: usize = items
            .iter()
            .map(|item| match item {
                WatchItem::Events { events, .. } => events.iter().map(Bytes::len).sum::<usize>(),
                other => panic!("unexpected {other:?}"),
            })
            .sum();
        assert!((1..=1600).contains(&bytes), "{bytes} bytes were queued");
        for item in &items {
            let WatchItem::Events {
                events, revision, ..
            } = item
            else {
                unreachable!("checked above")
            };
            for bytes in events {
                assert_eq!(event(bytes).kv.unwrap().mod_revision, next);
                next += 1;
            }
            assert_eq!(next, revision + 1);
        }
        catch_up(&store);
        rounds += 1;
    }
    assert!(rounds > 3);
    assert_eq!(slow.is_synced(0), Some(true));
}

#[test]
fn a_watcher_far_behind_holds_up_nobody_who_is_nearly_there() {
    let options = StoreOptions {
        watch: WatchLimits {
            catch_up_revisions: 10,
            ..WatchLimits::default()
        },
        ..manual_options()
    };
    let store = open_on(Arc::new(MemoryEngine::new()), options);
    for _ in 0..1000 {
        put(&store, "a", "");
    }
    let stream = stream(&store);
    stream.watch(watch("a", 1)).unwrap();
    stream.watch(watch("a", 995)).unwrap();
    assert!(store.step_watchers() && store.step_watchers());
    assert_eq!(stream.is_synced(1), Some(true));
    assert_eq!(stream.is_synced(0), Some(false));
    catch_up(&store);
    assert_eq!(stream.is_synced(0), Some(true));
    assert_eq!(store.stats().events, 1000 + 7);
}

#[test]
fn watchers_go_on_when_other_content_takes_the_place_of_theirs() {
    // The other store is the same one, further on: a member that received a snapshot.
    let other = Arc::new(MemoryEngine::new());
    let ahead = open_on(other.clone(), manual_options());
    let store = open();
    let stream = stream(&store);
    stream.watch(watch("a", 0)).unwrap();
    stream.watch(watch("a", 5)).unwrap();
    for n in 2..=6 {
        if n <= 3 {
            put(&store, "a", &n.to_string());
        }
        put(&ahead, "a", &n.to_string());
    }
    ahead.close().unwrap();
    store.restore(other).unwrap();
    assert_eq!(stream.is_synced(0), Some(false));
    catch_up(&store);
    put(&store, "a", "7");
    let mut all = told(&stream);
    all.sort();
    assert_eq!(
        all,
        [
            "0@2: put a=2/2",
            "0@3: put a=3/3",
            "0@6: put a=4/4, put a=5/5, put a=6/6",
            "0@7: put a=7/7",
            "1@6: put a=5/5, put a=6/6",
            "1@7: put a=7/7",
        ]
    );
}
