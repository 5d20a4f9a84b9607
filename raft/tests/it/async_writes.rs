//! Writes that complete later: what may leave before they do, and what their completion means.

use varve_proto::raftpb::{ConfChange, Entry, HardState, Message, MessageType, Snapshot};
use varve_raft::{
    ConfChangeExt as _, Config, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, MemoryStorage, RawNode,
    Ready, StateRole, Storage as _, is_local_target,
};

use crate::network::{Network, bytes, message, plain};

fn asynchronous(id: u64) -> Config {
    Config {
        async_storage_writes: true,
        ..plain(id)
    }
}

struct Node {
    raw: RawNode<MemoryStorage>,
    storage: MemoryStorage,
}

impl Node {
    fn new(voters: &[u64]) -> Self {
        let storage = MemoryStorage::with_voters(voters);
        Self {
            raw: RawNode::new(asynchronous(1), storage.clone()).unwrap(),
            storage,
        }
    }

    /// Carries out an order to append and steps the node's own responses; returns the others.
    fn write(&mut self, order: &Message) -> Vec<Message> {
        let HardState { term, vote, commit } = HardState {
            term: order.term,
            vote: order.vote,
            commit: order.commit,
        };
        if (term, vote, commit) != (0, 0, 0) {
            self.storage
                .set_hard_state(HardState { term, vote, commit });
        }
        self.storage.append(&order.entries).unwrap();
        let mut others = Vec::new();
        for response in order.responses.clone() {
            if response.to == 1 {
                self.raw.step(response).unwrap();
            } else {
                others.push(response);
            }
        }
        others
    }
}

fn to(ready: &Ready, target: u64) -> Option<Message> {
    ready
        .messages
        .iter()
        .find(|message| message.to == target)
        .cloned()
}

fn append(from: u64, term: u64, previous: (u64, u64), entries: &[(u64, u64)]) -> Message {
    let entries = entries
        .iter()
        .map(|&(term, index)| Entry {
            term,
            index,
            ..Entry::default()
        })
        .collect();
    let (log_term, index) = previous;
    Message {
        log_term,
        index,
        entries,
        ..message(MessageType::MsgApp, from, 1, term)
    }
}

#[test]
fn a_single_voter_commits_when_its_disk_has_the_entry() {
    let mut node = Node::new(&[1]);
    node.raw.campaign().unwrap();
    let ready = node.raw.ready();
    let order = to(&ready, LOCAL_APPEND_THREAD).unwrap();
    assert_eq!(
        (order.term, order.vote),
        (1, 1),
        "the vote is written before it counts"
    );
    assert_eq!(node.raw.basic_status().lead, 0);
    node.write(&order);
    assert_eq!(node.raw.basic_status().lead, 1);
    // The entry that opens the term, and a proposal right behind it.
    node.raw.propose(bytes("x")).unwrap();
    let ready = node.raw.ready();
    assert_eq!(ready.entries.len(), 2);
    assert_eq!(to(&ready, LOCAL_APPLY_THREAD), None, "nothing is committed");
    node.write(&to(&ready, LOCAL_APPEND_THREAD).unwrap());
    let ready = node.raw.ready();
    let order = to(&ready, LOCAL_APPLY_THREAD).unwrap();
    assert_eq!(order.entries.len(), 2);
    assert_eq!(node.raw.basic_status().applied, 0);
    for response in order.responses {
        node.raw.step(response).unwrap();
    }
    assert_eq!(node.raw.basic_status().applied, 2);
    let left = node.raw.ready();
    assert_eq!((left.entries, left.committed_entries), (vec![], vec![]));
}

#[test]
fn writes_are_pipelined() {
    let mut node = Node::new(&[1]);
    node.raw.campaign().unwrap();
    let ready = node.raw.ready();
    node.write(&to(&ready, LOCAL_APPEND_THREAD).unwrap());
    let mut orders = Vec::new();
    for _ in 0..5 {
        node.raw.propose(bytes("x")).unwrap();
        orders.push(to(&node.raw.ready(), LOCAL_APPEND_THREAD).unwrap());
    }
    assert!(
        orders.iter().skip(1).all(|order| order.entries.len() == 1),
        "each entry once"
    );
    for (order, commit) in orders.iter().zip(2..) {
        node.write(order);
        assert_eq!(node.raw.basic_status().commit, commit);
    }
}

#[test]
fn nothing_that_rests_on_a_write_leaves_before_it() {
    let mut node = Node::new(&[1, 2, 3]);
    // An acknowledgement and a vote are among the responses, not among the messages.
    node.raw.step(append(2, 1, (0, 0), &[(1, 1)])).unwrap();
    let ready = node.raw.ready();
    assert!(
        ready
            .messages
            .iter()
            .all(|message| is_local_target(message.to))
    );
    let order = to(&ready, LOCAL_APPEND_THREAD).unwrap();
    assert!(
        order
            .responses
            .iter()
            .any(|m| m.r#type() == MessageType::MsgAppResp && m.to == 2)
    );
    let ask = Message {
        index: 1,
        log_term: 1,
        ..message(MessageType::MsgVote, 3, 1, 2)
    };
    node.raw.step(ask).unwrap();
    let ready = node.raw.ready();
    assert!(
        ready
            .messages
            .iter()
            .all(|message| is_local_target(message.to))
    );
    let order = to(&ready, LOCAL_APPEND_THREAD).unwrap();
    assert_eq!((order.term, order.vote), (2, 3));
    assert!(
        order
            .responses
            .iter()
            .any(|m| m.r#type() == MessageType::MsgVoteResp && m.to == 3)
    );
}

#[test]
fn a_candidate_leads_only_once_its_own_vote_is_durable() {
    // Of three, two others are a majority without it.
    let mut node = Node::new(&[1, 2, 3]);
    node.raw.campaign().unwrap();
    let order = to(&node.raw.ready(), LOCAL_APPEND_THREAD).unwrap();
    assert_eq!((order.term, order.vote), (1, 1));
    for voter in [2, 3] {
        node.raw
            .step(message(MessageType::MsgVoteResp, voter, 1, 1))
            .unwrap();
    }
    // A crash now would leave nothing of term 1 on its disk: it must not have sent a single entry of it.
    assert_eq!(node.raw.basic_status().role, StateRole::Candidate);
    assert!(!node.raw.has_ready());
    assert_eq!(node.write(&order), []);
    assert_eq!(node.raw.basic_status().role, StateRole::Leader);
    let ready = node.raw.ready();
    assert_eq!(to(&ready, 2).unwrap().r#type(), MessageType::MsgApp);
}

#[test]
fn appends_leave_while_the_leader_writes() {
    let mut network = Network::with(3, asynchronous);
    network.campaign(1);
    network.raw(1).propose(bytes("x")).unwrap();
    let ready = network.raw(1).ready();
    let appends = ready
        .messages
        .iter()
        .filter(|m| m.r#type() == MessageType::MsgApp);
    assert_eq!(
        appends.count(),
        2,
        "in the same Ready as the order to write"
    );
    assert!(to(&ready, LOCAL_APPEND_THREAD).is_some());
    // Two followers are a majority: the leader's own disk may be the slowest.
    for message in ready.messages.iter().filter(|m| !is_local_target(m.to)) {
        network.raw(message.to).step(message.clone()).unwrap();
        for answer in network.work(message.to) {
            network.raw(1).step(answer).unwrap();
        }
    }
    assert_eq!(network.status(1).commit, 2);
    let ready = network.raw(1).ready();
    assert_eq!(
        to(&ready, LOCAL_APPLY_THREAD),
        None,
        "it applies what it has on its own disk"
    );
}

/// The ABA problem: see `ready::storage_append_response`.
#[test]
fn a_write_of_an_earlier_term_exposes_nothing() {
    let mut node = Node::new(&[1, 2, 3, 4, 5]);
    // Leader 2 of term 1, leader 3 of term 2, leader 2 again: three writes under way.
    let mut orders = Vec::new();
    for append in [
        append(2, 1, (0, 0), &[(1, 1), (1, 2)]),
        append(3, 2, (0, 0), &[(2, 1), (2, 2)]),
        append(2, 3, (0, 0), &[(1, 1), (1, 2)]),
    ] {
        node.raw.step(append).unwrap();
        orders.push(to(&node.raw.ready(), LOCAL_APPEND_THREAD).unwrap());
    }
    node.write(&orders[0]);
    node.write(&orders[1]);
    // The disk has the entries of leader 3, the log those of leader 2.
    assert_eq!(node.storage.term(2).unwrap(), 2);
    node.raw.step(append(2, 3, (1, 2), &[(3, 3)])).unwrap();
    let ready = node.raw.ready();
    let order = to(&ready, LOCAL_APPEND_THREAD).unwrap();
    let answer = order
        .responses
        .iter()
        .find(|m| m.r#type() == MessageType::MsgAppResp)
        .unwrap();
    assert!(!answer.reject, "1/2 is what the log has there");
    node.write(&orders[2]);
    node.write(&order);
    let terms: Vec<u64> = (1..=3)
        .map(|index| node.storage.term(index).unwrap())
        .collect();
    assert_eq!(terms, [1, 1, 3]);
}

#[test]
fn every_write_vouches_for_the_whole_log_while_some_of_it_is_not_written() {
    let mut node = Node::new(&[1, 2, 3]);
    node.raw.step(append(2, 1, (0, 0), &[(1, 1)])).unwrap();
    let first = to(&node.raw.ready(), LOCAL_APPEND_THREAD).unwrap();
    // The term changes: the answer to the first write will be void,
    node.raw
        .step(message(MessageType::MsgHeartbeat, 3, 1, 2))
        .unwrap();
    let second = to(&node.raw.ready(), LOCAL_APPEND_THREAD).unwrap();
    assert_eq!(second.entries, []);
    // so the write of the new term stands in for it.
    let saved = second.responses.last().unwrap();
    assert_eq!(
        (saved.r#type(), saved.term),
        (MessageType::MsgStorageAppendResp, 2)
    );
    assert_eq!((saved.log_term, saved.index), (1, 1));
    node.write(&first);
    node.write(&second);
    let third = node.raw.has_ready().then(|| node.raw.ready());
    assert!(third.is_none_or(|ready| ready.entries.is_empty()));
}

#[test]
fn a_change_from_before_a_snapshot_changes_nothing_after_it() {
    let mut node = Node::new(&[1, 2]);
    let add = |node_id| ConfChange {
        node_id,
        ..ConfChange::default()
    };
    let entry = Entry {
        term: 1,
        index: 1,
        ..add(3).to_entry()
    };
    let mut append = append(2, 1, (0, 0), &[]);
    append.entries = vec![entry];
    append.commit = 1;
    node.raw.step(append).unwrap();
    let ready = node.raw.ready();
    node.write(&to(&ready, LOCAL_APPEND_THREAD).unwrap());
    assert!(
        to(&node.raw.ready(), LOCAL_APPLY_THREAD).is_some(),
        "the change is being applied"
    );
    // Meanwhile a snapshot arrives, in which 3 has come and gone.
    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 5;
    snapshot.metadata.term = 1;
    snapshot.metadata.conf_state.voters = vec![1, 2, 4];
    let arrives = message(MessageType::MsgSnap, 2, 1, 1);
    node.raw
        .step(Message {
            snapshot: Some(snapshot),
            ..arrives
        })
        .unwrap();
    for index in [1, 5] {
        let conf_state = node.raw.apply_conf_change_at(index, &add(3)).unwrap();
        assert_eq!(conf_state.voters, [1, 2, 4]);
    }
    let conf_state = node.raw.apply_conf_change_at(6, &add(3)).unwrap();
    assert_eq!(conf_state.voters, [1, 2, 3, 4]);
}

#[test]
fn both_ways_of_writing_agree() {
    let run = |config: fn(u64) -> Config| {
        let mut network = Network::with(3, config);
        network.campaign(1);
        for text in ["a", "b", "c"] {
            network.propose(2, text);
        }
        network.isolate(1);
        network.campaign(2);
        network.propose(2, "d");
        network.heal();
        network.tick(2, 1);
        (1..=3)
            .map(|id| (network.applied(id), network.status(id)))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(plain), run(asynchronous));
}
