//! How much is under way: sizes of messages, windows, uncommitted and unapplied bytes, snapshots.

use bytes::Bytes;
use varve_proto::raftpb::{ConfState, Message, MessageType, Snapshot};
use varve_raft::{
    Config, Error, Index, MemoryStorage, ProgressState, SnapshotStatus, StateRole, Storage as _,
};

use crate::network::{Network, bytes, message, node, plain};

fn appends(messages: &[Message], to: u64) -> Vec<&Message> {
    let is_append = |m: &&Message| m.r#type() == MessageType::MsgApp && m.to == to;
    messages.iter().filter(is_append).collect()
}

fn progress(network: &Network, of: u64) -> varve_raft::Progress {
    network.members[&1]
        .raw
        .status()
        .progress
        .get(node(of))
        .unwrap()
        .clone()
}

fn ack(from: u64, index: u64) -> Message {
    Message {
        index,
        ..message(MessageType::MsgAppResp, from, 1, 1)
    }
}

/// Two members, 1 leads in term 1 and replicates to 2.
fn pair(config: impl Fn(u64) -> Config) -> Network {
    let mut network = Network::with(2, config);
    network.campaign(1);
    assert_eq!(progress(&network, 2).state, ProgressState::Replicate);
    network
}

#[test]
fn a_follower_that_keeps_up_gets_appends_ahead_of_its_answers() {
    let mut network = pair(plain);
    for index in 2..12 {
        network.raw(1).propose(bytes("x")).unwrap();
        let sent = network.work(1);
        assert_eq!(appends(&sent, 2).len(), 1);
        assert_eq!(appends(&sent, 2)[0].index, index - 1);
    }
    assert_eq!(progress(&network, 2).inflights.count(), 10);
}

#[test]
fn a_follower_that_is_probed_gets_one_append_per_heartbeat() {
    let mut network = pair(plain);
    network.raw(1).report_unreachable(2);
    assert_eq!(progress(&network, 2).state, ProgressState::Probe);
    let mut sent = Vec::new();
    for _ in 0..3 {
        network.raw(1).propose(bytes("x")).unwrap();
        sent.extend(network.work(1));
    }
    assert_eq!(appends(&sent, 2).len(), 1);
    for _ in 0..3 {
        network
            .raw(1)
            .step(message(MessageType::MsgHeartbeatResp, 2, 1, 1))
            .unwrap();
        let sent = network.work(1);
        assert_eq!(
            appends(&sent, 2).len(),
            1,
            "a heartbeat response allows one more"
        );
    }
    network.raw(1).step(ack(2, 1)).unwrap();
    assert_eq!(progress(&network, 2).state, ProgressState::Replicate);
}

#[test]
fn a_follower_that_has_everything_leaves_probing_with_its_next_heartbeat() {
    let mut network = pair(plain);
    network.raw(1).report_unreachable(2);
    network.tick(1, 1);
    assert_eq!(progress(&network, 2).state, ProgressState::Replicate);
}

#[test]
fn a_full_window_stops_appends_until_something_is_acknowledged() {
    let mut network = pair(|id| Config {
        max_inflight_msgs: 3,
        ..plain(id)
    });
    let mut sent = Vec::new();
    for _ in 0..8 {
        network.raw(1).propose(bytes("x")).unwrap();
        sent.extend(network.work(1));
    }
    assert_eq!(appends(&sent, 2).len(), 3);
    assert!(progress(&network, 2).is_paused());
    // An answer frees its part of the window: everything that waited goes in one message.
    network.raw(1).step(ack(2, 3)).unwrap();
    let sent = network.work(1);
    let entries: Vec<usize> = appends(&sent, 2).iter().map(|m| m.entries.len()).collect();
    assert_eq!(entries.iter().sum::<usize>(), 5);
}

#[test]
fn with_a_full_window_heartbeats_bring_empty_appends() {
    let mut network = pair(|id| Config {
        max_inflight_msgs: 2,
        ..plain(id)
    });
    for _ in 0..4 {
        network.raw(1).propose(bytes("x")).unwrap();
        network.work(1);
    }
    // All of it was lost. What a heartbeat response brings is refused, and that restarts the flow.
    for _ in 0..2 {
        network
            .raw(1)
            .step(message(MessageType::MsgHeartbeatResp, 2, 1, 1))
            .unwrap();
        let sent = network.work(1);
        assert_eq!(appends(&sent, 2).len(), 1);
        assert_eq!(appends(&sent, 2)[0].entries, []);
    }
    network.tick(1, 1);
    assert_eq!(network.applied(2).len(), 4);
}

#[test]
fn the_window_is_limited_in_bytes_too() {
    let mut network = pair(|id| Config {
        max_size_per_msg: 50,
        max_inflight_bytes: 100,
        ..plain(id)
    });
    let mut sent = Vec::new();
    for _ in 0..10 {
        network.raw(1).propose(Bytes::from(vec![0; 40])).unwrap();
        sent.extend(network.work(1));
    }
    // 40, 80, and the one that crosses the limit.
    assert_eq!(appends(&sent, 2).len(), 3);
    network.raw(1).step(ack(2, 2)).unwrap();
    let sent = network.work(1);
    assert_eq!(appends(&sent, 2).len(), 1);
}

#[test]
fn messages_are_cut_at_their_size_but_carry_one_entry_at_least() {
    let mut network = Network::with(2, |id| Config {
        max_size_per_msg: 100,
        ..plain(id)
    });
    network.campaign(1);
    network.isolate(2);
    for size in [10, 10, 500, 10, 60, 60] {
        network.raw(1).propose(Bytes::from(vec![0; size])).unwrap();
        network.settle();
    }
    network.heal();
    network.lost.clear();
    network.raw(1).report_unreachable(2);
    network.ignore(MessageType::MsgApp);
    network.tick(1, 1);
    // The probe.
    assert_eq!(appends(&network.lost, 2)[0].entries.len(), 2);
    network.lost.clear();
    network.raw(1).step(ack(2, 1)).unwrap();
    network.settle();
    let entries: Vec<usize> = appends(&network.lost, 2)
        .iter()
        .map(|m| m.entries.len())
        .collect();
    assert_eq!(entries, [2, 1, 2, 1]);
}

#[test]
fn a_batch_travels_in_one_message() {
    let mut network = pair(plain);
    let batch: Vec<Bytes> = (0..64_u8).map(|byte| Bytes::from(vec![byte])).collect();
    network.raw(1).propose_batch(batch).unwrap();
    let sent = network.work(1);
    assert_eq!(appends(&sent, 2).len(), 1);
    assert_eq!(appends(&sent, 2)[0].entries.len(), 64);
}

#[test]
fn payloads_are_shared_and_never_copied() {
    let mut network = pair(plain);
    let payload = Bytes::from(vec![7_u8; 1000]);
    network.raw(1).propose(payload.clone()).unwrap();
    let sent = network.work(1);
    let sent_data = sent[0].entries[0].data.clone().unwrap();
    assert_eq!(sent_data.as_ptr(), payload.as_ptr());
    network.deliver(sent);
    let applied = network.members[&2]
        .applied
        .last()
        .unwrap()
        .data
        .clone()
        .unwrap();
    assert_eq!(applied.as_ptr(), payload.as_ptr());
}

#[test]
fn a_leader_takes_on_a_limited_amount_of_uncommitted_payload() {
    let mut network = Network::with(3, |id| Config {
        max_uncommitted_entries_size: 100,
        ..plain(id)
    });
    network.campaign(1);
    network.isolate(1);
    let propose = |network: &mut Network, size: usize| {
        let result = network.raw(1).propose(Bytes::from(vec![0; size]));
        network.settle();
        result.is_ok()
    };
    assert!(propose(&mut network, 60));
    assert!(!propose(&mut network, 60), "that would be 120");
    assert!(propose(&mut network, 40));
    assert!(!propose(&mut network, 1));
    assert!(propose(&mut network, 0), "what weighs nothing always goes");
    // What gets committed makes room.
    network.heal();
    network.tick(1, 1);
    network.tick(1, 1);
    assert_eq!(network.status(1).applied, 4);
    network.isolate(1);
    assert!(
        propose(&mut network, 1000),
        "anything goes while nothing is uncommitted"
    );
    assert!(!propose(&mut network, 1));
}

#[test]
fn a_batch_is_taken_as_a_whole_or_not_at_all() {
    let mut network = Network::with(3, |id| Config {
        max_uncommitted_entries_size: 10,
        ..plain(id)
    });
    network.campaign(1);
    network.isolate(1);
    network.propose(1, "1234567");
    let refused = network
        .raw(1)
        .propose_batch(vec![bytes("a"), bytes("bcdefg")]);
    assert!(matches!(refused, Err(Error::ProposalDropped)));
    network.settle();
    assert_eq!(network.members[&1].storage.last_index().unwrap(), 2);
}

#[test]
fn followers_forward_proposals_unless_told_not_to() {
    for disable_proposal_forwarding in [false, true] {
        let mut network = Network::with(3, |id| Config {
            disable_proposal_forwarding,
            ..plain(id)
        });
        network.campaign(1);
        let taken = network.raw(2).propose(bytes("x")).is_ok();
        network.settle();
        assert_eq!(taken, !disable_proposal_forwarding);
        assert_eq!(network.applied(3).len(), usize::from(taken));
    }
}

// ---- snapshots ----

/// Two members; the log of the leader starts behind what 2 has.
fn compacted() -> Network {
    let mut network = pair(plain);
    network.isolate(2);
    let conf_state = ConfState {
        voters: vec![1, 2],
        ..ConfState::default()
    };
    // Committed by decree: 2 is gone for good as far as 1 is concerned.
    for index in 2..=10 {
        network.raw(1).propose(bytes("x")).unwrap();
        network.work(1);
        network.raw(1).step(ack(2, index)).unwrap();
        network.work(1);
    }
    let storage = network.members[&1].storage.clone();
    storage
        .create_snapshot(9, Some(&conf_state), bytes("state"))
        .unwrap();
    storage.compact(9).unwrap();
    network.lost.clear();
    network
}

/// The same leader after a restart: it does not know what 2 has.
fn leader_to_compacted_follower() -> Network {
    let mut network = compacted();
    let storage = network.members[&1].storage.clone();
    network.add(plain(1), storage);
    network.heal();
    network.ignore(MessageType::MsgSnap);
    network.campaign(1);
    network.tick(1, 1);
    network
}

#[test]
fn a_follower_behind_the_log_gets_a_snapshot_and_nothing_else_meanwhile() {
    let mut network = leader_to_compacted_follower();
    let snapshots: Vec<_> = network
        .lost
        .iter()
        .filter(|m| m.r#type() == MessageType::MsgSnap)
        .collect();
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].snapshot.as_ref().unwrap().metadata.index, 9);
    assert_eq!(
        progress(&network, 2).state,
        ProgressState::Snapshot {
            pending: Index::new(9)
        }
    );
    network.lost.clear();
    network.raw(1).propose(bytes("y")).unwrap();
    network.settle();
    network.tick(1, 5);
    assert_eq!(appends(&network.lost, 2).len(), 0);
}

#[test]
fn a_snapshot_that_arrives_lets_the_follower_catch_up() {
    let mut network = leader_to_compacted_follower();
    let snapshot = network
        .lost
        .iter()
        .rfind(|m| m.r#type() == MessageType::MsgSnap)
        .cloned();
    network.heal();
    network.deliver(vec![snapshot.unwrap()]);
    assert_eq!(progress(&network, 2).state, ProgressState::Replicate);
    network.propose(1, "y");
    assert_eq!(
        network.members[&2].storage.snapshot().unwrap().data,
        Some(bytes("state"))
    );
    assert_eq!(network.applied(2).last().unwrap(), "y");
    assert_eq!(network.status(2).commit, network.status(1).commit);
}

#[test]
fn a_snapshot_reported_as_lost_is_sent_again_after_a_heartbeat() {
    let mut network = leader_to_compacted_follower();
    network.lost.clear();
    network.raw(1).report_snapshot(2, SnapshotStatus::Failure);
    let after = progress(&network, 2);
    assert_eq!(
        (after.state, after.next, after.is_paused()),
        (ProgressState::Probe, after.matched.next(), true)
    );
    network.settle();
    assert_eq!(network.lost, []);
    network.tick(1, 1);
    assert!(
        network
            .lost
            .iter()
            .any(|m| m.r#type() == MessageType::MsgSnap)
    );
}

#[test]
fn a_snapshot_reported_as_delivered_lets_the_leader_probe_behind_it() {
    let mut network = leader_to_compacted_follower();
    network.raw(1).report_snapshot(2, SnapshotStatus::Finish);
    let after = progress(&network, 2);
    assert_eq!(
        (after.state, after.next, after.is_paused()),
        (ProgressState::Probe, Index::new(10), true)
    );
    // A late report of the opposite says nothing any more.
    network.raw(1).report_snapshot(2, SnapshotStatus::Failure);
    assert_eq!(progress(&network, 2), after);
}

#[test]
fn who_was_not_heard_from_gets_no_snapshot() {
    for silent in [false, true] {
        let mut network = Network::with(3, |id| Config {
            check_quorum: true,
            ..plain(id)
        });
        network.campaign(1);
        network.isolate(3);
        network.propose(1, "x");
        network.propose(1, "y");
        let storage = network.members[&1].storage.clone();
        storage.create_snapshot(3, None, bytes("state")).unwrap();
        storage.compact(3).unwrap();
        if silent {
            // Two quorum checks.
            network.tick(1, 20);
        }
        network.lost.clear();
        network.raw(1).report_unreachable(3);
        network.propose(1, "z");
        let snapshots = network
            .lost
            .iter()
            .filter(|m| m.r#type() == MessageType::MsgSnap);
        assert_eq!(snapshots.count(), usize::from(!silent), "silent: {silent}");
    }
}

#[test]
fn a_snapshot_of_what_is_committed_is_ignored_and_one_of_what_is_there_fast_forwards() {
    let snapshot_at = |index| {
        let mut snapshot = Snapshot::default();
        snapshot.metadata.index = index;
        snapshot.metadata.term = 1;
        snapshot.metadata.conf_state.voters = vec![1, 2];
        Message {
            snapshot: Some(snapshot),
            ..message(MessageType::MsgSnap, 1, 2, 1)
        }
    };
    let mut network = pair(plain);
    network.propose(1, "x");
    network.propose(1, "y");
    network.tick(1, 1);
    let storage = network.members[&2].storage.clone();
    assert_eq!(network.status(2).commit, 3);
    for (index, answer) in [(2, 3), (3, 3)] {
        network.raw(2).step(snapshot_at(index)).unwrap();
        let answers = network.work(2);
        assert_eq!((answers[0].index, answers[0].reject), (answer, false));
    }
    // 4 is in the log of 2 and not committed.
    network.raw(1).propose(bytes("z")).unwrap();
    let sent = network.work(1);
    network.raw(2).step(sent[0].clone()).unwrap();
    network.work(2);
    assert_eq!(network.status(2).commit, 3);
    network.raw(2).step(snapshot_at(4)).unwrap();
    let answers = network.work(2);
    assert_eq!(answers[0].index, 4);
    assert_eq!(network.status(2).commit, 4);
    assert_eq!(storage.first_index().unwrap(), 1, "the log stayed");
}

#[test]
fn a_snapshot_that_excludes_its_receiver_or_contradicts_itself_is_not_taken() {
    let mut network = pair(plain);
    let before = network.members[&2].raw.status();
    for (voters, learners) in [
        (vec![1, 3], vec![]),
        (vec![1, 2, 2], vec![]),
        (vec![1, 2], vec![2]),
    ] {
        let mut snapshot = Snapshot::default();
        snapshot.metadata.index = 50;
        snapshot.metadata.term = 1;
        snapshot.metadata.conf_state.voters = voters;
        snapshot.metadata.conf_state.learners = learners;
        let snapshot = Message {
            snapshot: Some(snapshot),
            ..message(MessageType::MsgSnap, 1, 2, 1)
        };
        // Refused, or answered with what it has.
        drop(network.raw(2).step(snapshot));
        network.settle();
        assert_eq!(network.members[&2].raw.status(), before);
    }
}

#[test]
fn no_election_is_started_while_a_snapshot_is_being_applied() {
    let mut network = Network::with(2, |id| Config {
        async_storage_writes: true,
        ..plain(id)
    });
    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 11;
    snapshot.metadata.term = 1;
    snapshot.metadata.conf_state.voters = vec![1, 2];
    let snapshot = Message {
        snapshot: Some(snapshot),
        ..message(MessageType::MsgSnap, 2, 1, 1)
    };
    network.raw(1).step(snapshot).unwrap();
    let ready = network.raw(1).ready();
    network.raw(1).campaign().unwrap();
    assert_eq!(network.role(1), StateRole::Follower);
    let append = ready
        .messages
        .iter()
        .find(|m| m.r#type() == MessageType::MsgStorageAppend);
    network.members[&1]
        .storage
        .apply_snapshot(ready.snapshot.clone().unwrap())
        .unwrap();
    for response in append.unwrap().responses.clone() {
        if response.to == 1 {
            network.raw(1).step(response).unwrap();
        }
    }
    network.raw(1).campaign().unwrap();
    assert_eq!(network.role(1), StateRole::Candidate);
}

#[test]
fn storage_that_needs_time_for_a_snapshot_is_asked_again() {
    #[derive(Clone, Debug)]
    struct Slow(MemoryStorage, std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl varve_raft::Storage for Slow {
        fn initial_state(
            &self,
        ) -> varve_raft::StorageResult<(varve_proto::raftpb::HardState, ConfState)> {
            self.0.initial_state()
        }
        fn entries(
            &self,
            range: std::ops::Range<u64>,
            max: u64,
        ) -> varve_raft::StorageResult<Vec<varve_proto::raftpb::Entry>> {
            self.0.entries(range, max)
        }
        fn term(&self, index: u64) -> varve_raft::StorageResult<u64> {
            self.0.term(index)
        }
        fn last_index(&self) -> varve_raft::StorageResult<u64> {
            self.0.last_index()
        }
        fn first_index(&self) -> varve_raft::StorageResult<u64> {
            self.0.first_index()
        }
        fn snapshot(&self) -> varve_raft::StorageResult<Snapshot> {
            if self.1.load(std::sync::atomic::Ordering::Relaxed) {
                return self.0.snapshot();
            }
            Err(varve_raft::StorageError::SnapshotTemporarilyUnavailable)
        }
    }
    let made = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let storage = compacted().members[&1].storage.clone();
    let storage = Slow(storage, std::sync::Arc::clone(&made));
    let mut node = varve_raft::RawNode::new(
        Config {
            applied: 9,
            ..plain(1)
        },
        storage.clone(),
    )
    .unwrap();
    node.campaign().unwrap();
    let term = node.basic_status().term;
    let say = |node: &mut varve_raft::RawNode<Slow>, message: Option<Message>| {
        if let Some(message) = message {
            node.step(message).unwrap();
        }
        let mut sent = Vec::new();
        while node.has_ready() {
            let mut ready = node.ready();
            storage.0.append(&ready.entries).unwrap();
            sent.append(&mut ready.messages);
            node.advance(ready);
        }
        sent.iter()
            .filter(|m| m.r#type() == MessageType::MsgSnap)
            .count()
    };
    say(&mut node, None);
    say(
        &mut node,
        Some(message(MessageType::MsgVoteResp, 2, 1, term)),
    );
    let refusal = Message {
        index: 10,
        reject: true,
        ..message(MessageType::MsgAppResp, 2, 1, term)
    };
    assert_eq!(say(&mut node, Some(refusal)), 0);
    assert!(node.failure().is_none());
    made.store(true, std::sync::atomic::Ordering::Relaxed);
    let heartbeat = message(MessageType::MsgHeartbeatResp, 2, 1, term);
    assert_eq!(say(&mut node, Some(heartbeat)), 1);
}
