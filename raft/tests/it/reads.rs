//! Linearizable reads: never older than what was acknowledged before they began.

use varve_proto::raftpb::{Entry, HardState, Message, MessageType};
use varve_raft::{Config, MemoryStorage, ReadOnlyOption, StateRole};

use crate::network::{Network, bytes, message, plain};

fn lease_based(id: u64) -> Config {
    Config {
        read_only_option: ReadOnlyOption::LeaseBased,
        check_quorum: true,
        ..plain(id)
    }
}

fn read(network: &mut Network, id: u64, context: &str) {
    network.raw(id).read_index(bytes(context));
    network.settle();
}

fn state(context: &str, index: u64) -> (String, u64) {
    (context.to_owned(), index)
}

#[test]
fn any_member_reads_at_the_commit_index() {
    for config in [plain, lease_based] {
        let mut network = Network::with(3, config);
        network.campaign(1);
        for (round, id) in [1, 2, 3, 1, 2, 3].into_iter().enumerate() {
            network.propose(1, "x");
            let context = format!("read {round}");
            read(&mut network, id, &context);
            let commit = round as u64 + 2;
            assert_eq!(network.reads(id).last(), Some(&state(&context, commit)));
        }
    }
}

#[test]
fn a_read_waits_for_a_quorum() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(1);
    read(&mut network, 1, "alone");
    assert_eq!(network.reads(1), []);
    network.heal();
    // The next heartbeat asks again.
    network.tick(1, 1);
    assert_eq!(network.reads(1), [state("alone", 1)]);
}

#[test]
fn a_deposed_leader_answers_no_reads() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(1);
    network.campaign(2);
    network.propose(2, "new");
    read(&mut network, 1, "stale");
    network.tick(1, 5);
    assert_eq!(network.reads(1), []);
    network.heal();
    network.tick(2, 1);
    network.tick(1, 5);
    assert_eq!(network.reads(1), [], "it went with the term");
}

/// etcd issue 20418. Read A is sent twice, an acknowledgement of its heartbeat is late. It must not
/// count for read B, which came after A, although nobody acknowledged B.
#[test]
fn late_acks_of_an_old_read_do_not_release_a_newer_one() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.propose(1, "before");
    // A arrives, its heartbeats leave; the acknowledgement of 2 is kept back.
    network.raw(1).read_index(bytes("A"));
    let heartbeats = network.work(1);
    let acks: Vec<Message> = heartbeats
        .iter()
        .flat_map(|heartbeat| {
            network.raw(heartbeat.to).step(heartbeat.clone()).unwrap();
            network.work(heartbeat.to)
        })
        .collect();
    let late = acks.iter().find(|ack| ack.from == 2).unwrap().clone();
    let timely = acks.iter().find(|ack| ack.from == 3).unwrap().clone();
    // A is asked for again, as etcd's server did every half second; 3 confirms the first.
    network.raw(1).read_index(bytes("A"));
    network.work(1);
    network.raw(1).step(timely).unwrap();
    network.work(1);
    assert_eq!(network.reads(1), [state("A", 2)]);
    // The leader is cut off, another is elected and commits.
    network.isolate(1);
    network.campaign(2);
    network.propose(2, "missed by 1");
    // B arrives at the old leader, and now the late acknowledgement of A does.
    network.raw(1).read_index(bytes("B"));
    network.work(1);
    network.raw(1).step(late).unwrap();
    network.work(1);
    assert!(
        network.reads(1).iter().all(|(context, _)| context != "B"),
        "{:?}",
        network.reads(1)
    );
    assert_eq!(network.role(1), StateRole::Leader, "it does not know yet");
}

#[test]
fn acknowledgements_of_members_that_lag_or_repeat_release_nothing_early() {
    let mut network = Network::new(5);
    network.campaign(1);
    network.raw(1).read_index(bytes("A"));
    let heartbeats = network.work(1);
    let context = heartbeats[0].context.clone();
    let ack = |from| Message {
        context: context.clone(),
        ..message(MessageType::MsgHeartbeatResp, from, 1, 1)
    };
    for _ in 0..5 {
        network.raw(1).step(ack(2)).unwrap();
    }
    network.work(1);
    assert_eq!(network.reads(1), [], "two of five");
    network.raw(1).step(ack(3)).unwrap();
    network.work(1);
    assert_eq!(network.reads(1), [state("A", 1)]);
}

#[test]
fn one_round_confirms_all_reads_that_wait() {
    let mut network = Network::new(3);
    network.campaign(1);
    for context in ["a", "b", "c"] {
        network.raw(1).read_index(bytes(context));
    }
    let heartbeats = network.work(1);
    assert_eq!(heartbeats.len(), 6, "each asks at once");
    // The last one to 2 is enough for all three.
    let last = heartbeats
        .iter()
        .rfind(|heartbeat| heartbeat.to == 2)
        .unwrap()
        .clone();
    network.deliver(vec![last]);
    assert_eq!(
        network.reads(1),
        [state("a", 1), state("b", 1), state("c", 1)]
    );
}

#[test]
fn a_new_leader_answers_reads_after_its_first_commit() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.propose(1, "x");
    // 2 wins, and cannot get its first entry through.
    network.ignore(MessageType::MsgApp);
    network.campaign(2);
    assert_eq!(network.role(2), StateRole::Leader);
    network.tick(2, 1);
    assert_eq!(network.status(3).lead, 2);
    read(&mut network, 2, "early");
    read(&mut network, 3, "early too");
    assert_eq!((network.reads(2), network.reads(3)), (vec![], vec![]));
    network.heal();
    network.tick(2, 1);
    network.tick(2, 1);
    assert_eq!(network.reads(2), [state("early", 3)]);
    assert_eq!(network.reads(3), [state("early too", 3)]);
}

/// etcd answers a single voter's read at once. But the commit index is saved without an fsync: after a
/// crash it can be behind what was acknowledged, until the first commit of the new term.
#[test]
fn a_single_voter_too_answers_reads_after_its_first_commit() {
    let storage = MemoryStorage::with_voters(&[1]);
    let entries = [1, 2, 3].map(|index| Entry {
        term: 1,
        index,
        ..Entry::default()
    });
    storage.append(&entries).unwrap();
    // All three were acknowledged; the last commit index that reached the disk is 1.
    storage.set_hard_state(HardState {
        term: 1,
        vote: 1,
        commit: 1,
    });
    let mut network = Network::on(vec![storage], plain);
    network.raw(1).campaign().unwrap();
    while network.role(1) != StateRole::Leader {
        let ready = network.raw(1).ready();
        network.raw(1).advance(ready);
    }
    network.raw(1).read_index(bytes("early"));
    assert_eq!(network.status(1).commit, 1);
    network.settle();
    assert_eq!(network.reads(1), [state("early", 4)]);
    network.raw(1).read_index(bytes("later"));
    network.settle();
    assert_eq!(network.reads(1).last(), Some(&state("later", 4)));
}

#[test]
fn a_read_without_a_leader_is_dropped() {
    let mut network = Network::new(3);
    read(&mut network, 1, "nobody leads");
    network.campaign(2);
    network.tick(2, 5);
    assert_eq!(network.reads(1), []);
}

#[test]
fn a_lease_answers_without_asking() {
    let mut network = Network::with(3, lease_based);
    network.campaign(1);
    network.isolate(1);
    read(&mut network, 1, "trusting");
    assert_eq!(network.reads(1), [state("trusting", 1)]);
}

#[test]
fn a_lease_ends_with_the_quorum() {
    let mut network = Network::with(3, lease_based);
    network.campaign(1);
    network.isolate(1);
    network.tick(1, 20);
    read(&mut network, 1, "too late");
    assert_eq!(
        (network.role(1), network.reads(1)),
        (StateRole::Follower, vec![])
    );
}

#[test]
fn reads_are_confirmed_by_the_quorum_a_change_leaves() {
    let mut network = Network::new(2);
    network.campaign(1);
    network.isolate(2);
    read(&mut network, 1, "waits for 2");
    assert_eq!(network.reads(1), []);
    // 2 is removed (by means outside of this cluster): 1 decides alone.
    let change = varve_proto::raftpb::ConfChangeV2 {
        changes: varve_raft::parse_conf_changes("r2").unwrap(),
        ..Default::default()
    };
    network.raw(1).apply_conf_change(change);
    network.settle();
    assert_eq!(network.reads(1), [state("waits for 2", 1)]);
}

#[test]
fn a_leader_that_was_removed_asks_the_one_voter_that_is_left() {
    let mut network = Network::new(2);
    network.campaign(1);
    let change = varve_proto::raftpb::ConfChangeV2 {
        changes: varve_raft::parse_conf_changes("r1").unwrap(),
        ..Default::default()
    };
    network.raw(1).propose_conf_change(&change).unwrap();
    network.settle();
    // It leads on, for now; but 2 may elect itself at any time.
    assert_eq!(network.raw(1).basic_status().role, StateRole::Leader);
    assert_eq!(network.raw(1).status().config.voters.to_string(), "(2)");
    network.isolate(1);
    network.campaign(2);
    network.propose(2, "new");
    read(&mut network, 1, "stale");
    assert_eq!(network.reads(1), []);
}

#[test]
fn an_answer_without_exactly_one_request_is_ignored() {
    let mut network = Network::new(3);
    network.campaign(1);
    for entries in [vec![], vec![Entry::default(), Entry::default()]] {
        let answer = Message {
            entries,
            ..message(MessageType::MsgReadIndexResp, 1, 2, 1)
        };
        network.raw(2).step(answer).unwrap();
    }
    network.settle();
    assert_eq!(network.reads(2), []);
}

#[test]
fn contexts_of_heartbeats_are_echoed_whatever_they_are() {
    // Older leaders send the id of a request; a follower need not understand it.
    for context in [None, Some(""), Some("7"), Some("an id of any length")] {
        let mut network = Network::new(3);
        let context = context.map(bytes);
        let heartbeat = message(MessageType::MsgHeartbeat, 1, 2, 1);
        network
            .raw(2)
            .step(Message {
                context: context.clone(),
                ..heartbeat
            })
            .unwrap();
        let answers = network.work(2);
        assert_eq!(answers[0].r#type(), MessageType::MsgHeartbeatResp);
        assert_eq!(answers[0].context, context);
    }
}
