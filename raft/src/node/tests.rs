use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use varve_proto::raftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};

use super::{Peer, RawNode};
use crate::config::Config;
use crate::error::Error;
use crate::logger::{Level, Logger};
use crate::role::StateRole;
use crate::storage::{MemoryStorage, Storage, StorageError, StorageResult};

fn config() -> Config {
    Config {
        pre_vote: false,
        check_quorum: false,
        ..Config::new(1)
    }
}

/// Storage that fails on demand.
#[derive(Clone, Debug)]
struct Flaky {
    inner: MemoryStorage,
    broken: Arc<AtomicBool>,
}

impl Flaky {
    fn new(inner: MemoryStorage) -> Self {
        Self {
            inner,
            broken: Arc::default(),
        }
    }

    fn or_fail<T>(&self, result: StorageResult<T>) -> StorageResult<T> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(StorageError::Failed(Arc::new(std::io::Error::other(
                "disk on fire",
            ))));
        }
        result
    }
}

impl Storage for Flaky {
    fn initial_state(&self) -> StorageResult<(HardState, ConfState)> {
        self.or_fail(self.inner.initial_state())
    }

    fn entries(&self, range: std::ops::Range<u64>, max_size: u64) -> StorageResult<Vec<Entry>> {
        self.or_fail(self.inner.entries(range, max_size))
    }

    fn term(&self, index: u64) -> StorageResult<u64> {
        self.or_fail(self.inner.term(index))
    }

    fn last_index(&self) -> StorageResult<u64> {
        self.or_fail(self.inner.last_index())
    }

    fn first_index(&self) -> StorageResult<u64> {
        self.or_fail(self.inner.first_index())
    }

    fn snapshot(&self) -> StorageResult<Snapshot> {
        self.or_fail(self.inner.snapshot())
    }
}

/// Saves and advances until nothing is left; returns all committed entries.
fn drive<S: Storage>(node: &mut RawNode<S>, storage: &MemoryStorage) -> Vec<Entry> {
    let mut committed = Vec::new();
    while node.has_ready() {
        let ready = node.ready();
        if let Some(state) = ready.hard_state {
            storage.set_hard_state(state);
        }
        storage.append(&ready.entries).unwrap();
        committed.extend(ready.committed_entries.iter().cloned());
        node.advance(ready);
    }
    committed
}

#[test]
fn a_single_voter_elects_itself_and_commits() {
    let storage = MemoryStorage::with_voters(&[1]);
    let mut node = RawNode::new(config(), storage.clone()).unwrap();
    node.campaign().unwrap();
    assert_eq!(
        drive(&mut node, &storage).len(),
        1,
        "the entry that opens the term"
    );
    node.propose_batch(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")])
        .unwrap();
    let committed = drive(&mut node, &storage);
    let data: Vec<_> = committed
        .iter()
        .map(|entry| entry.data.clone().unwrap())
        .collect();
    assert_eq!(data, ["a", "b"]);
    assert_eq!(node.basic_status().applied, 3);
    assert_eq!(node.basic_status().role, StateRole::Leader);
}

#[test]
fn an_empty_batch_is_no_proposal() {
    let storage = MemoryStorage::with_voters(&[1]);
    let mut node = RawNode::new(config(), storage).unwrap();
    node.propose_batch(Vec::new()).unwrap();
    assert!(matches!(
        node.propose(Bytes::new()),
        Err(Error::ProposalDropped)
    ));
}

#[test]
fn a_restarted_node_continues_where_it_was() {
    let storage = MemoryStorage::with_voters(&[1]);
    let mut node = RawNode::new(config(), storage.clone()).unwrap();
    node.campaign().unwrap();
    drive(&mut node, &storage);
    node.propose(Bytes::from_static(b"a")).unwrap();
    drive(&mut node, &storage);

    let restarted = RawNode::new(config(), storage.clone()).unwrap();
    let status = restarted.basic_status();
    assert_eq!(
        (status.term, status.vote, status.commit, status.applied),
        (1, 1, 2, 0)
    );
    assert!(
        restarted.has_ready(),
        "what was committed is to be applied again"
    );
    let resumed = RawNode::new(
        Config {
            applied: 2,
            ..config()
        },
        storage,
    )
    .unwrap();
    assert!(!resumed.has_ready());
}

#[test]
fn a_log_that_does_not_fit_its_hard_state_is_refused() {
    let storage = MemoryStorage::with_voters(&[1]);
    storage.set_hard_state(HardState {
        term: 1,
        vote: 1,
        commit: 5,
    });
    let refused = RawNode::new(config(), storage);
    assert!(matches!(
        refused,
        Err(Error::HardStateOutOfRange { commit: 5, last: 0 })
    ));
    let storage = MemoryStorage::with_voters(&[1]);
    let refused = RawNode::new(
        Config {
            applied: 3,
            ..config()
        },
        storage,
    );
    assert!(matches!(refused, Err(Error::AppliedOutOfRange { .. })));
}

#[test]
fn a_snapshot_ahead_of_the_saved_commit_index_counts() {
    let storage = MemoryStorage::with_voters(&[1]);
    let entries = [1, 2, 3].map(|index| Entry {
        term: 1,
        index,
        ..Entry::default()
    });
    storage.append(&entries).unwrap();
    storage.set_hard_state(HardState {
        term: 1,
        vote: 1,
        commit: 1,
    });
    storage.create_snapshot(2, None, Bytes::new()).unwrap();
    storage.compact(2).unwrap();
    let node = RawNode::new(config(), storage).unwrap();
    let status = node.basic_status();
    assert_eq!((status.commit, status.applied, status.term), (2, 2, 1));
}

#[test]
fn bootstrapping_puts_the_members_into_the_log() {
    let storage = MemoryStorage::new();
    let mut node = RawNode::new(config(), storage.clone()).unwrap();
    assert!(node.bootstrap(&[]).is_err());
    let peers = [(1, "one"), (2, "two")].map(|(id, context)| Peer {
        id,
        context: context.into(),
    });
    node.bootstrap(&peers).unwrap();
    let ready = node.ready();
    assert_eq!(
        ready.hard_state,
        Some(HardState {
            term: 1,
            vote: 0,
            commit: 2
        })
    );
    assert!(ready.must_sync);
    // id 0, AddNode, the node, the context: what etcd writes.
    let data = ready.entries[1].data.clone().unwrap();
    assert_eq!(&data[..], b"\x08\x00\x10\x00\x18\x02\x22\x03two");
    assert_eq!((ready.entries[1].term, ready.entries[1].index), (1, 2));
    assert_eq!(ready.committed_entries, ready.entries);
    assert_eq!(node.status().config.voters.to_string(), "(1 2)");
    storage.append(&ready.entries).unwrap();
    node.advance(ready);
    assert!(matches!(node.bootstrap(&peers), Err(Error::NotEmpty)));
}

#[test]
fn storage_that_fails_stops_the_node() {
    let storage = Flaky::new(MemoryStorage::with_voters(&[1, 2]));
    let mut node = RawNode::new(config(), storage.clone()).unwrap();
    assert!(node.failure().is_none());
    storage.broken.store(true, Ordering::Relaxed);
    let failed = node.campaign();
    assert!(matches!(failed, Err(Error::Storage(_))));
    assert!(node.failure().is_some());

    // It stays stopped, also when storage is back.
    storage.broken.store(false, Ordering::Relaxed);
    let refused = node.propose(Bytes::new());
    assert!(matches!(&refused, Err(error @ Error::Stopped(_)) if error.is_fatal()));
    assert!(!node.has_ready());
    assert_eq!(node.ready(), crate::Ready::default());
    let term = node.basic_status().term;
    for _ in 0..100 {
        node.tick();
    }
    assert_eq!(node.basic_status().term, term);
}

#[test]
fn storage_that_fails_within_a_tick_stops_the_node_too() {
    let storage = Flaky::new(MemoryStorage::with_voters(&[1, 2]));
    let mut node = RawNode::new(config(), storage.clone()).unwrap();
    storage.broken.store(true, Ordering::Relaxed);
    for _ in 0..100 {
        node.tick();
    }
    assert!(matches!(
        node.failure(),
        Some(Error::Storage(StorageError::Failed(_)))
    ));
}

#[test]
fn local_messages_and_strangers_answers_are_refused() {
    let storage = MemoryStorage::with_voters(&[1, 2]);
    let mut node = RawNode::new(config(), storage).unwrap();
    let message = |kind: MessageType, from| Message {
        r#type: kind as i32,
        from,
        term: 1,
        ..Message::default()
    };
    for kind in (0..24).map(|kind| MessageType::try_from(kind).unwrap()) {
        if crate::is_local_message(kind) {
            let refused = node.step(message(kind, 2));
            assert!(matches!(refused, Err(Error::StepLocalMessage)), "{kind:?}");
        } else if crate::is_response_message(kind) {
            let refused = node.step(message(kind, 9));
            assert!(matches!(refused, Err(Error::StepPeerNotFound)), "{kind:?}");
        }
    }
    assert_eq!(node.basic_status().term, 0, "nothing of that had an effect");
}

#[test]
fn only_terms_votes_and_entries_need_an_fsync() {
    let storage = MemoryStorage::with_voters(&[1]);
    let mut node = RawNode::new(config(), storage.clone()).unwrap();
    node.campaign().unwrap();
    let mut synced = Vec::new();
    while node.has_ready() {
        let ready = node.ready();
        synced.push((
            ready.hard_state.map(|state| state.commit),
            ready.entries.len(),
            ready.must_sync,
        ));
        if let Some(state) = ready.hard_state {
            storage.set_hard_state(state);
        }
        storage.append(&ready.entries).unwrap();
        node.advance(ready);
    }
    // Term and vote, the first entry, its commit.
    assert_eq!(
        synced,
        [(Some(0), 0, true), (None, 1, true), (Some(1), 0, false)]
    );
}

/// In the long run a node allocates nothing for its `Ready`s: shown by the addresses of their vectors.
#[test]
fn the_vectors_of_a_ready_that_is_given_back_serve_again() {
    for asynchronous in [false, true] {
        let storage = MemoryStorage::with_voters(&[1]);
        let config = Config {
            async_storage_writes: asynchronous,
            ..config()
        };
        let mut node = RawNode::new(config, storage.clone()).unwrap();
        node.campaign().unwrap();
        let mut given_back = std::collections::BTreeSet::new();
        let mut used = 0;
        for round in 0..20 {
            if round > 0 {
                node.propose(Bytes::from_static(b"a")).unwrap();
            }
            while node.has_ready() {
                let mut ready = node.ready();
                storage.append(&ready.entries).unwrap();
                let mut vectors = vec![&ready.entries, &ready.committed_entries];
                vectors.extend(ready.messages.iter().map(|message| &message.entries));
                vectors.retain(|entries| !entries.is_empty());
                for entries in vectors {
                    let known = !given_back.insert(entries.as_ptr().addr());
                    assert!(known || round < 3, "allocated in round {round}");
                    used += 1;
                }
                if asynchronous {
                    for message in &mut ready.messages {
                        for response in message.responses.drain(..) {
                            node.step(response).unwrap();
                        }
                    }
                    node.recycle(ready);
                } else {
                    node.advance(ready);
                }
            }
        }
        assert_eq!(node.basic_status().applied, 20);
        assert_eq!(used, if asynchronous { 80 } else { 40 });
    }
}

#[test]
#[should_panic(expected = "advanced first")]
fn a_second_ready_without_advance_is_a_bug() {
    let storage = MemoryStorage::with_voters(&[1]);
    let mut node = RawNode::new(config(), storage).unwrap();
    node.campaign().unwrap();
    let first = node.ready();
    let second = node.ready();
    drop((first, second));
}

#[test]
#[should_panic(expected = "AsyncStorageWrites")]
fn advance_with_asynchronous_writes_is_a_bug() {
    let storage = MemoryStorage::with_voters(&[1]);
    let config = Config {
        async_storage_writes: true,
        ..config()
    };
    let mut node = RawNode::new(config, storage).unwrap();
    node.advance(crate::Ready::default());
}

#[test]
fn a_committed_change_that_cannot_be_carried_out_is_reported_and_changes_nothing() {
    let storage = MemoryStorage::with_voters(&[1]);
    let mut node = RawNode::new(config(), storage).unwrap();
    let before = node.status().config;
    let change = varve_proto::raftpb::ConfChangeV2 {
        transition: 9,
        ..Default::default()
    };
    assert!(matches!(
        node.try_apply_conf_change(&change),
        Err(Error::ConfChange(_))
    ));
    assert_eq!(node.status().config, before);
    assert!(node.failure().is_none());
    let conf_state = node.apply_conf_change(change);
    assert_eq!(conf_state.voters, [1]);
    assert!(
        node.failure().is_some(),
        "the node cannot know what others did"
    );
}

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<(Level, String)>>);

impl Logger for Lines {
    fn log(&self, level: Level, line: std::fmt::Arguments<'_>) {
        self.0.lock().unwrap().push((level, line.to_string()));
    }
}

#[test]
fn log_lines_go_to_the_logger_that_was_given() {
    let lines = Arc::new(Lines::default());
    let logger = Arc::clone(&lines);
    let config = Config { logger, ..config() };
    let mut node = RawNode::new(config, MemoryStorage::with_voters(&[1])).unwrap();
    node.campaign().unwrap();
    let lines = lines.0.lock().unwrap();
    assert!(lines.contains(&(Level::Info, "1 became candidate at term 1".to_owned())));
}
