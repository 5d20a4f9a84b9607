//! Watchers under random histories: nothing lost, nothing twice, nothing out of order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::MemoryEngine;
use varve_mvcc::{StoreOptions, WatchItem, WatchLimits, WatchOptions, WatchStream};
use varve_proto::mvccpb::event::EventType;
use varve_proto::mvccpb::{Event, KeyValue};

use crate::etcd_model::EtcdModel;
use crate::model::{Op, name, run_txn};
use crate::support::{compact, event, manual_options, open_on};
use prost::Message;

#[derive(Clone, Debug)]
enum Step {
    Txn(Vec<Op>),
    Watch {
        stream: u8,
        key: u8,
        len: u8,
        back: u8,
        flags: u8,
    },
    Cancel(u8, u8),
    Progress(u8),
    Drain(u8, u16),
    CatchUp(u8),
    Compact(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..12, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (0u8..12).prop_map(Op::Delete),
        1 => (0u8..12, 0u8..12).prop_map(|(from, to)| Op::DeleteRange(from, to)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => proptest::collection::vec(op(), 1..4).prop_map(Step::Txn),
        4 => (0u8..3, 0u8..12, 0u8..6, any::<u8>(), any::<u8>()).prop_map(
            |(stream, key, len, back, flags)| Step::Watch { stream, key, len, back, flags }),
        1 => (0u8..3, any::<u8>()).prop_map(|(stream, id)| Step::Cancel(stream, id)),
        2 => (0u8..3).prop_map(Step::Progress),
        4 => (0u8..3, any::<u16>()).prop_map(|(stream, bytes)| Step::Drain(stream, bytes)),
        4 => any::<u8>().prop_map(Step::CatchUp),
        1 => any::<u8>().prop_map(Step::Compact),
    ]
}

struct Watched {
    options: WatchOptions,
    /// First revision it must be told about.
    start: i64,
    events: Vec<Event>,
    /// It may claim to be told about everything up to here.
    claimed: i64,
    compacted: bool,
    /// Progress items queued before it was created do not speak for it.
    progress_before: usize,
}

struct Client {
    stream: WatchStream,
    watched: BTreeMap<i64, Watched>,
    /// Cancelled ones; what was queued for them may still come.
    cancelled: Vec<i64>,
    progress_queued: usize,
    progress_seen: usize,
}

impl Client {
    fn drain(&mut self, bytes: usize) -> usize {
        let items = self.stream.drain(bytes);
        let count = items.len();
        for item in items {
            match item {
                WatchItem::Events {
                    id,
                    revision,
                    events,
                } => {
                    let Some(watched) = self.watched.get_mut(&id) else {
                        assert!(self.cancelled.contains(&id));
                        continue;
                    };
                    assert!(!events.is_empty());
                    assert!(!watched.compacted);
                    let events: Vec<_> = events.iter().map(event).collect();
                    let first = events[0].kv.as_ref().unwrap().mod_revision;
                    assert!(
                        first > watched.claimed,
                        "told again, or a revision in two items"
                    );
                    watched.events.extend(events);
                    watched.claimed = revision;
                }
                WatchItem::Compacted { id, .. } => {
                    if let Some(watched) = self.watched.get_mut(&id) {
                        watched.compacted = true;
                    }
                }
                WatchItem::Progress { id, revision } => {
                    assert_eq!(id, varve_mvcc::ALL_WATCHERS);
                    let nth = self.progress_seen;
                    self.progress_seen += 1;
                    let meant = self.watched.values_mut();
                    for watched in meant.filter(|w| w.progress_before <= nth && !w.compacted) {
                        assert!(watched.claimed <= revision);
                        watched.claimed = revision;
                    }
                }
            }
        }
        count
    }
}

/// What a watcher of `options` must be told of the rows of the whole history.
fn expected(history: &EtcdModel, watched: &Watched) -> Vec<Event> {
    let options = &watched.options;
    let mut events = Vec::new();
    for (row, stored) in &history.rows {
        let mut kv = KeyValue::decode(stored.clone()).unwrap();
        let key = kv.key.clone();
        let inside = if options.end.is_empty() {
            key == options.key
        } else {
            options.key <= key && key < options.end
        };
        let filtered = if row.tombstone {
            options.no_delete
        } else {
            options.no_put
        };
        let main = row.revision.main;
        if !inside || filtered || main < watched.start {
            continue;
        }
        kv.mod_revision = main;
        let previous = history.get(&key, main - 1).filter(|_| options.prev_kv);
        events.push(Event {
            r#type: if row.tombstone {
                EventType::Delete
            } else {
                EventType::Put
            }
            .into(),
            kv: Some(kv),
            prev_kv: previous.map(|bytes| KeyValue::decode(bytes).unwrap()),
        });
    }
    events
}

fn without_previous(events: &[Event]) -> Vec<Event> {
    let bare = events.iter().cloned();
    bare.map(|event| Event {
        prev_kv: None,
        ..event
    })
    .collect()
}

fn check(history: &EtcdModel, compacted: i64, watched: &Watched) {
    let expected = expected(history, watched);
    let told = &watched.events;
    if watched.compacted {
        let count = told.len();
        assert_eq!(without_previous(told), without_previous(&expected[..count]));
        assert!(watched.claimed < compacted);
        return;
    }
    assert_eq!(without_previous(told), without_previous(&expected));
    for (told, expected) in told.iter().zip(&expected) {
        // A previous pair may be missing once it is compacted away, and is never another one.
        let main = told.kv.as_ref().unwrap().mod_revision;
        if told.prev_kv.is_some() || main > compacted {
            assert_eq!(told.prev_kv, expected.prev_kv);
        }
    }
}

fn run(steps: Vec<Step>) {
    let options = StoreOptions {
        watch: WatchLimits {
            queue_bytes: 400,
            // A few transactions: some laggards are served from memory, some from the backend.
            recent_bytes: 700,
            catch_up_revisions: 4,
            catch_up_bytes: 150,
            catch_up_watchers: 3,
        },
        ..manual_options()
    };
    let store = open_on(Arc::new(MemoryEngine::new()), options);
    // Never compacted: the history itself.
    let mut history = EtcdModel::new();
    let mut compacted = -1;
    let mut clients: Vec<Client> = (0..3)
        .map(|_| Client {
            stream: crate::support::stream(&store),
            watched: BTreeMap::new(),
            cancelled: Vec::new(),
            progress_queued: 0,
            progress_seen: 0,
        })
        .collect();
    let mut next_id = 0;
    for step in steps {
        match step {
            Step::Txn(ops) => {
                run_txn(&store, &mut history, &ops);
            }
            Step::Watch {
                stream,
                key,
                len,
                back,
                flags,
            } => {
                let client = &mut clients[usize::from(stream)];
                let (key, end) = (name(key), name(key.saturating_add(len)));
                let start_revision = match back {
                    0..100 => 0,
                    _ => (history.revision + 3 - i64::from(back % 16)).max(1),
                };
                let options = WatchOptions {
                    id: Some(next_id),
                    end: if len == 0 { Bytes::new() } else { end },
                    key,
                    start_revision,
                    no_put: flags & 0b111 == 0b111,
                    no_delete: flags & 0b11_000 == 0b11_000,
                    prev_kv: flags & 0b100_000 != 0,
                };
                let empty = !options.end.is_empty() && options.end <= options.key;
                let created = client.stream.watch(options.clone());
                if empty {
                    assert_eq!(created, Err(varve_mvcc::WatchError::EmptyRange));
                    continue;
                }
                assert_eq!(created, Ok((next_id, history.revision)));
                let start = if start_revision == 0 {
                    history.revision + 1
                } else {
                    start_revision
                };
                let watched = Watched {
                    options,
                    start,
                    events: Vec::new(),
                    claimed: start - 1,
                    compacted: false,
                    progress_before: client.progress_queued,
                };
                client.watched.insert(next_id, watched);
                next_id += 1;
            }
            Step::Cancel(stream, nth) => {
                let client = &mut clients[usize::from(stream)];
                let ids: Vec<i64> = client.watched.keys().copied().collect();
                if !ids.is_empty() {
                    let id = ids[usize::from(nth) % ids.len()];
                    client.watched.remove(&id);
                    client.stream.cancel(id);
                    client.cancelled.push(id);
                }
            }
            Step::Progress(stream) => {
                let client = &mut clients[usize::from(stream)];
                client.progress_queued += usize::from(client.stream.request_progress());
            }
            Step::Drain(stream, bytes) => {
                clients[usize::from(stream)].drain(usize::from(bytes % 600));
            }
            Step::CatchUp(steps) => {
                for _ in 0..steps % 4 {
                    store.step_watchers();
                }
            }
            Step::Compact(back) => {
                let at = history.revision - i64::from(back % 16);
                if at > compacted {
                    compacted = at;
                    compact(&store, at);
                    crate::support::finish_compaction(&store);
                }
            }
        }
    }
    // In the end everybody drains until all is said.
    loop {
        let mut moved = false;
        while store.step_watchers() {
            moved = true;
        }
        for client in &mut clients {
            moved |= client.drain(usize::MAX) > 0;
        }
        if !moved {
            break;
        }
    }
    assert_eq!(store.stats().slow_watchers, 0);
    for client in &clients {
        for watched in client.watched.values() {
            check(&history, compacted, watched);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_watcher_is_told_its_part_of_the_history_exactly_once_in_order(
        steps in proptest::collection::vec(step(), 1..250),
    ) {
        run(steps);
    }
}
