//! Members of other versions: what they encode differently, and what they may not know.

use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeV2, Entry, EntryType, Message, MessageType, Snapshot,
};
use varve_raft::{Error, StateRole, Storage as _};

use crate::network::{Network, bytes, message, node, plain};

/// A protobuf field with a varint.
fn varint(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    let mut rest = value;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
    out
}

/// A protobuf field with bytes.
fn block(field: u8, content: &[u8]) -> Vec<u8> {
    [
        &[field << 3 | 2, u8::try_from(content.len()).unwrap()][..],
        content,
    ]
    .concat()
}

/// An append of `x` as entry 1/1, by 1 to 2 in term 1, as etcd up to 3.5 encodes it: every scalar, and
/// an empty snapshot with an empty configuration.
fn verbose_append() -> Vec<u8> {
    let entry = [varint(1, 0), varint(2, 1), varint(3, 1), block(4, b"x")].concat();
    let empty_metadata = [block(1, &varint(5, 0)), varint(2, 0), varint(3, 0)].concat();
    let head = [
        varint(1, 3),
        varint(2, 2),
        varint(3, 1),
        varint(4, 1),
        varint(5, 0),
        varint(6, 0),
    ];
    let tail = [
        varint(8, 0),
        block(9, &block(2, &empty_metadata)),
        varint(10, 0),
        varint(11, 0),
    ];
    [head.concat(), block(7, &entry), tail.concat()].concat()
}

/// The same as 3.7 may encode it: only what is set, and in any order.
fn sparse_append() -> Vec<u8> {
    let entry = [block(4, b"x"), varint(3, 1), varint(2, 1)].concat();
    [
        block(7, &entry),
        varint(4, 1),
        varint(3, 1),
        varint(2, 2),
        varint(1, 3),
    ]
    .concat()
}

#[test]
fn verbose_and_sparse_encodings_mean_the_same() {
    for encoded in [verbose_append(), sparse_append()] {
        let mut network = Network::new(2);
        let append = Message::decode(&encoded[..]).unwrap();
        network.raw(2).step(append).unwrap();
        let answers = network.work(2);
        assert_eq!(answers.len(), 1);
        assert_eq!(
            (answers[0].r#type(), answers[0].index),
            (MessageType::MsgAppResp, 1)
        );
        assert_eq!(network.status(2).applied, 0, "nothing of it is committed");
        assert_eq!(network.members[&2].storage.last_index().unwrap(), 1);
    }
}

#[test]
fn an_empty_snapshot_in_any_message_is_none() {
    let mut network = Network::new(3);
    network.campaign(1);
    let kinds = [
        MessageType::MsgHeartbeat,
        MessageType::MsgApp,
        MessageType::MsgVote,
        MessageType::MsgPreVote,
        MessageType::MsgSnap,
    ];
    for kind in kinds {
        let snapshot = Some(Snapshot::default());
        let with_snapshot = Message {
            snapshot,
            ..message(kind, 1, 2, 1)
        };
        network.raw(2).step(with_snapshot).unwrap();
        network.settle();
        assert_eq!(network.status(2).commit, 1, "{kind:?}");
        assert!(
            network.members[&2]
                .raw
                .status()
                .config
                .voters
                .contains(node(3)),
            "{kind:?}"
        );
    }
}

#[test]
fn what_is_cut_off_or_garbled_is_an_error_or_another_message_and_never_a_panic() {
    for encoded in [verbose_append(), sparse_append()] {
        for length in 0..encoded.len() {
            if let Ok(message) = Message::decode(&encoded[..length]) {
                drop(Network::new(2).raw(2).step(message));
            }
        }
        for at in 0..encoded.len() {
            for bit in 0..8 {
                let mut garbled = encoded.clone();
                garbled[at] ^= 1 << bit;
                if let Ok(message) = Message::decode(&garbled[..]) {
                    let mut network = Network::new(2);
                    drop(network.raw(2).step(message));
                    network.work(2);
                }
            }
        }
    }
}

#[test]
fn messages_of_a_kind_from_the_future_tell_their_term_and_no_more() {
    let mut network = Network::new(3);
    network.campaign(1);
    let future = Message {
        r#type: 4711,
        ..message(MessageType::MsgHup, 3, 1, 1)
    };
    network.raw(1).step(future.clone()).unwrap();
    assert_eq!(network.role(1), StateRole::Leader);
    network
        .raw(1)
        .step(Message {
            term: 5,
            ..future.clone()
        })
        .unwrap();
    assert_eq!(
        (network.role(1), network.status(1).term),
        (StateRole::Follower, 5)
    );
    network.raw(1).step(Message { term: 2, ..future }).unwrap();
    assert_eq!(network.status(1).term, 5);
}

#[test]
fn entries_of_a_kind_from_the_future_are_replicated_untouched() {
    let mut network = Network::new(3);
    network.campaign(1);
    let entry = Entry {
        r#type: 77,
        data: Some(bytes("later")),
        ..Entry::default()
    };
    let proposal = Message {
        entries: vec![entry],
        ..message(MessageType::MsgProp, 2, 1, 0)
    };
    network.raw(1).step(proposal).unwrap();
    let sent = network.work(1);
    assert_eq!(
        (sent[0].entries[0].r#type, &sent[0].entries[0].data),
        (77, &Some(bytes("later")))
    );
}

#[test]
fn responses_never_cross_the_network_nor_do_local_kinds() {
    // A whole life: elections, proposals, changes, reads, transfers.
    let mut network = Network::new(3);
    network.ignore(MessageType::MsgTimeoutNow);
    network.isolate(3);
    network.campaign(1);
    network.propose(1, "x");
    network.raw(2).read_index(bytes("r"));
    network.settle();
    network.raw(1).transfer_leader(2);
    network.settle();
    for message in &network.lost {
        assert!(
            !varve_raft::is_local_message(message.r#type()),
            "{:?}",
            message.r#type()
        );
        assert_eq!(message.responses, []);
        assert_eq!(message.vote, 0);
        let is_snapshot = message.r#type() == MessageType::MsgSnap;
        assert_eq!(message.snapshot.is_some(), is_snapshot);
    }
}

/// Peers before etcd 3.5 refuse an append without telling the term at their hint.
#[test]
fn a_refusal_without_a_term_moves_the_probe_to_its_hint() {
    let mut network = Network::new(2);
    network.campaign(1);
    for _ in 0..8 {
        network.propose(1, "x");
    }
    // The leader restarts and does not know what 2 has; 2 says it has nothing behind 4.
    let storage = network.members[&1].storage.clone();
    network.add(plain(1), storage);
    network.ignore(MessageType::MsgApp);
    network.campaign(1);
    let refusal = Message {
        index: 9,
        reject: true,
        reject_hint: 4,
        log_term: 0,
        ..message(MessageType::MsgAppResp, 2, 1, network.status(1).term)
    };
    network.lost.clear();
    network.raw(1).step(refusal).unwrap();
    network.settle();
    assert_eq!(network.lost.len(), 1);
    assert_eq!(
        (network.lost[0].index, network.lost[0].entries.len()),
        (4, 6)
    );
}

/// Peers with 3.5 and later tell it: one probe per term, however long the logs differ.
#[test]
fn probing_takes_one_round_per_term_that_differs() {
    use crate::network::Member;
    let entries = |terms: &[u64]| -> Vec<Entry> {
        (1..)
            .zip(terms)
            .map(|(index, &term)| Entry {
                term,
                index,
                ..Entry::default()
            })
            .collect()
    };
    // Common: 10 entries of term 1. Then the follower has 50 of term 2, the leader 60 of term 3.
    let follower = [vec![1; 10], vec![2; 50]].concat();
    let leader = [vec![1; 10], vec![3; 60]].concat();
    let mut network = Network::new(3);
    for (id, terms) in [(1, leader), (2, follower), (3, vec![])] {
        let Member { storage, .. } = &network.members[&id];
        let storage = storage.clone();
        storage.append(&entries(&terms)).unwrap();
        storage.set_hard_state(varve_proto::raftpb::HardState {
            term: 3,
            vote: 0,
            commit: 0,
        });
        network.add(plain(id), storage);
    }
    network.isolate(2);
    network.campaign(1);
    network.heal();
    network.tick(1, 1);
    let heartbeat = network.raw(1);
    heartbeat.tick();
    let mut rounds = 0;
    let mut sent = network.work(1);
    while sent.iter().any(|m| m.to == 2) {
        rounds += 1;
        let mut answers = Vec::new();
        for m in sent.drain(..).filter(|m| m.to == 2) {
            network.raw(2).step(m).unwrap();
            answers.extend(network.work(2));
        }
        for m in answers {
            drop(network.raw(1).step(m));
        }
        sent = network.work(1);
    }
    assert_eq!(network.members[&2].storage.term(70).unwrap(), 3);
    assert!(rounds <= 5, "{rounds} rounds");
}

#[test]
fn a_change_rejected_by_the_application_still_counts_as_applied() {
    // etcd does not call the core for it, or with node 0: both keep the configuration.
    let mut network = Network::new(1);
    network.campaign(1);
    let nothing = ConfChange {
        node_id: 0,
        ..ConfChange::default()
    };
    network.raw(1).propose_conf_change(&nothing).unwrap();
    network.settle();
    assert_eq!(
        network.members[&1].raw.status().config.to_string(),
        "voters=(1)"
    );
    let add = ConfChange {
        node_id: 2,
        ..ConfChange::default()
    };
    network.raw(1).propose_conf_change(&add).unwrap();
    network.settle();
    assert_eq!(
        network.members[&1].raw.status().config.to_string(),
        "voters=(1 2)"
    );
}

/// etcd's servers up to 3.6 end at an entry with a change of the newer kind.
#[test]
fn a_change_of_the_older_kind_stays_of_the_older_kind() {
    let mut network = Network::new(1);
    network.campaign(1);
    let change = ConfChange {
        node_id: 2,
        context: Some(bytes("member")),
        ..ConfChange::default()
    };
    network.raw(1).propose_conf_change(&change).unwrap();
    network.settle();
    let entry = network.members[&1].applied.last().unwrap();
    assert_eq!(entry.r#type(), EntryType::EntryConfChange);
    assert_eq!(
        ConfChange::decode(entry.data.clone().unwrap()).unwrap(),
        change
    );
    let kinds = network.members[&1].applied.iter().map(Entry::r#type);
    assert!(
        kinds
            .into_iter()
            .all(|kind| kind != EntryType::EntryConfChangeV2)
    );
    let newer = ConfChangeV2::default();
    assert_eq!(
        varve_raft::ConfChangeExt::to_entry(&newer).r#type(),
        EntryType::EntryConfChangeV2
    );
}

/// Another implementation moves its commit index by such an answer. It tells where to read, not what this
/// node's log has.
#[test]
fn an_answer_to_a_read_does_not_move_the_commit_index() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(2);
    network.propose(1, "x");
    network.heal();
    assert_eq!((network.status(1).commit, network.status(2).commit), (2, 1));
    let answer = Message {
        index: 2,
        entries: vec![Entry {
            data: Some(bytes("read")),
            ..Entry::default()
        }],
        ..message(MessageType::MsgReadIndexResp, 1, 2, 1)
    };
    network.raw(2).step(answer).unwrap();
    assert_eq!(network.work(2), []);
    assert_eq!(network.reads(2), [("read".to_owned(), 2)]);
    assert_eq!(network.status(2).commit, 1);
}

/// etcd's refusals say yes or no and the term; whatever else they carried, peers would not expect it.
#[test]
fn a_refused_vote_tells_its_term_and_no_more() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.propose(1, "x");
    network.propose(1, "y");
    for kind in [MessageType::MsgVote, MessageType::MsgPreVote] {
        // A log that is behind, in a later term.
        let request = Message {
            index: 1,
            log_term: 1,
            ..message(kind, 3, 2, 2)
        };
        network.raw(2).step(request).unwrap();
        let answers = network.work(2);
        assert_eq!(answers.len(), 1);
        let answer_kind = match kind {
            MessageType::MsgVote => MessageType::MsgVoteResp,
            _ => MessageType::MsgPreVoteResp,
        };
        let bare = message(answer_kind, 2, 3, network.status(2).term);
        assert_eq!(
            answers[0],
            Message {
                reject: true,
                ..bare
            }
        );
    }
}

#[test]
fn a_leader_that_says_more_is_committed_than_there_is_is_a_fatal_error() {
    // It means that this node lost entries it had acknowledged. etcd panics.
    let mut network = Network::new(3);
    network.campaign(1);
    let heartbeat = Message {
        commit: 99,
        ..message(MessageType::MsgHeartbeat, 1, 2, 1)
    };
    let error = network.raw(2).step(heartbeat).unwrap_err();
    assert!(matches!(
        error,
        Error::CommitOutOfRange {
            commit: 99,
            last_index: 1
        }
    ));
    assert!(error.is_fatal());
    assert_eq!(network.status(2).commit, 1);
}

#[test]
fn acknowledging_what_the_leader_does_not_have_is_refused() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(1);
    let before = network.members[&1].raw.status();
    for from in [2, 3] {
        let ack = Message {
            index: 50,
            ..message(MessageType::MsgAppResp, from, 1, 1)
        };
        assert!(matches!(
            network.raw(1).step(ack),
            Err(Error::Malformed { .. })
        ));
    }
    assert_eq!(network.members[&1].raw.status(), before);
}
