//! Changing the members of a live cluster.

use varve_proto::raftpb::{
    ConfChange, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry, EntryType, Message,
    MessageType,
};
use varve_raft::{Config, Error, MemoryStorage, StateRole, parse_conf_changes};

use crate::network::{Network, bytes, message, node, plain};

fn v2(text: &str, transition: ConfChangeTransition) -> ConfChangeV2 {
    let changes = parse_conf_changes(text).unwrap();
    ConfChangeV2 {
        transition: transition as i32,
        changes,
        context: None,
    }
}

fn auto(text: &str) -> ConfChangeV2 {
    v2(text, ConfChangeTransition::Auto)
}

fn add(node_id: u64) -> ConfChange {
    ConfChange {
        node_id,
        ..ConfChange::default()
    }
}

fn remove(node_id: u64) -> ConfChange {
    let kind = ConfChangeType::ConfChangeRemoveNode;
    ConfChange {
        r#type: kind as i32,
        node_id,
        ..ConfChange::default()
    }
}

fn voters(network: &Network, id: u64) -> String {
    network.members[&id].raw.status().config.to_string()
}

/// Kinds of all entries in a member's log.
fn kinds(network: &Network, id: u64) -> Vec<EntryType> {
    network.members[&id]
        .applied
        .iter()
        .map(Entry::r#type)
        .collect()
}

#[test]
fn a_member_that_is_added_gets_the_log_and_counts() {
    let mut network = Network::new(1);
    network.campaign(1);
    network.propose(1, "before");
    network.add(plain(2), MemoryStorage::with_voters(&[1]));
    network.raw(1).propose_conf_change(&add(2)).unwrap();
    network.settle();
    network.propose(1, "after");
    assert_eq!(network.applied(2), ["before", "after"]);
    assert_eq!(voters(&network, 2), "voters=(1 2)");
    network.isolate(2);
    network.raw(1).propose(bytes("alone")).unwrap();
    network.settle();
    assert_eq!(
        network.applied(1),
        ["before", "after"],
        "two are needed now"
    );
}

#[test]
fn a_member_that_is_removed_counts_no_more() {
    let mut network = Network::new(2);
    network.campaign(1);
    network.isolate(2);
    network.raw(1).propose(bytes("x")).unwrap();
    network.settle();
    assert!(network.applied(1).is_empty());
    network.heal();
    network.tick(1, 1);
    network.raw(1).propose_conf_change(&remove(2)).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1)");
    network.isolate(2);
    network.propose(1, "y");
    assert_eq!(network.applied(1), ["x", "y"]);
}

#[test]
fn one_change_at_a_time_is_under_way() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(1);
    network.raw(1).propose_conf_change(&add(4)).unwrap();
    network.raw(1).propose_conf_change(&add(5)).unwrap();
    network.settle();
    network.heal();
    network.tick(1, 1);
    network.tick(1, 1);
    assert_eq!(voters(&network, 1), "voters=(1 2 3 4)");
    // In place of the second one is an empty entry.
    let expected = [
        EntryType::EntryNormal,
        EntryType::EntryConfChange,
        EntryType::EntryNormal,
    ];
    assert_eq!(kinds(&network, 1), expected);
}

#[test]
fn a_new_leader_waits_with_changes_until_it_applied_what_it_inherited() {
    let mut network = Network::new(3);
    network.campaign(1);
    // A change nobody but 1 and 2 has; 2 takes over.
    network.isolate(3);
    network.ignore(MessageType::MsgAppResp);
    network.raw(1).propose_conf_change(&add(4)).unwrap();
    network.settle();
    network.heal();
    network.isolate(1);
    network.ignore(MessageType::MsgApp);
    network.campaign(2);
    assert_eq!(network.role(2), StateRole::Leader);
    network.raw(2).propose_conf_change(&add(5)).unwrap();
    network.settle();
    network.heal();
    network.isolate(1);
    network.tick(2, 1);
    network.tick(2, 1);
    assert_eq!(
        voters(&network, 2),
        "voters=(1 2 3 4)",
        "the inherited one, not its own"
    );
}

#[test]
fn changes_that_do_not_fit_the_present_configuration_become_empty_entries() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.raw(1).propose_conf_change(&auto("")).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1 2 3)");
    assert_eq!(
        kinds(&network, 1),
        [EntryType::EntryNormal; 2],
        "nothing to leave"
    );

    let explicit = v2("l4", ConfChangeTransition::JointExplicit);
    network.raw(1).propose_conf_change(&explicit).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1 2 3)&&(1 2 3) learners=(4)");
    network.raw(1).propose_conf_change(&auto("v5")).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1 2 3)&&(1 2 3) learners=(4)");
    network.raw(1).propose_conf_change(&auto("")).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1 2 3) learners=(4)");
}

#[test]
fn positions_in_a_batch_stay_when_a_change_in_it_is_refused() {
    use varve_raft::ConfChangeExt as _;
    let mut network = Network::new(1);
    network.campaign(1);
    let entries = vec![
        Entry {
            data: Some(bytes("a")),
            ..Entry::default()
        },
        auto("").to_entry(),
        Entry {
            data: Some(bytes("b")),
            ..Entry::default()
        },
        add(2).to_entry(),
    ];
    let batch = Message {
        entries,
        ..message(MessageType::MsgProp, 9, 1, 0)
    };
    network.raw(1).step(batch).unwrap();
    network.settle();
    let applied: Vec<_> = network.members[&1]
        .applied
        .iter()
        .map(|entry| (entry.index, entry.r#type()))
        .collect();
    use EntryType::{EntryConfChange, EntryNormal};
    let expected = [
        (1, EntryNormal),
        (2, EntryNormal),
        (3, EntryNormal),
        (4, EntryNormal),
        (5, EntryConfChange),
    ];
    assert_eq!(applied, expected);
    assert_eq!(voters(&network, 1), "voters=(1 2)");
}

#[test]
fn a_change_that_was_dropped_holds_up_no_later_one() {
    let mut network = Network::with(3, |id| Config {
        max_uncommitted_entries_size: 10,
        ..plain(id)
    });
    network.campaign(1);
    network.isolate(1);
    network.propose(1, "12345678");
    let dropped = network.raw(1).propose_conf_change(&add(4));
    assert!(matches!(dropped, Err(Error::ProposalDropped)));
    network.settle();
    network.heal();
    network.tick(1, 1);
    network.tick(1, 1);
    assert_eq!(network.status(1).applied, 2);
    network.raw(1).propose_conf_change(&add(4)).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1 2 3 4)");
}

#[test]
fn a_joint_change_is_left_by_the_leader_on_its_own() {
    for transition in [
        ConfChangeTransition::Auto,
        ConfChangeTransition::JointImplicit,
    ] {
        let mut network = Network::new(3);
        for id in 4..=5 {
            network.add(plain(id), MemoryStorage::with_voters(&[1, 2, 3]));
        }
        network.campaign(1);
        network
            .raw(1)
            .propose_conf_change(&v2("v4 v5 r3", transition))
            .unwrap();
        network.settle();
        for id in [1, 2, 4, 5] {
            assert_eq!(voters(&network, id), "voters=(1 2 4 5)", "member {id}");
        }
    }
}

#[test]
fn leaving_a_joint_change_is_proposed_once() {
    // One entry is applied at a time, so that another one is while the change waits.
    let mut network = Network::with(1, |id| Config {
        max_committed_size_per_ready: 1,
        ..plain(id)
    });
    network.campaign(1);
    let entries = vec![
        varve_raft::ConfChangeExt::to_entry(&auto("l2 l3")),
        Entry {
            data: Some(bytes("x")),
            ..Entry::default()
        },
    ];
    let batch = Message {
        entries,
        ..message(MessageType::MsgProp, 2, 1, 0)
    };
    network.raw(1).step(batch).unwrap();
    network.settle();
    use EntryType::{EntryConfChangeV2, EntryNormal};
    let expected = [
        EntryNormal,
        EntryConfChangeV2,
        EntryNormal,
        EntryConfChangeV2,
    ];
    assert_eq!(kinds(&network, 1), expected);
    assert_eq!(voters(&network, 1), "voters=(1) learners=(2 3)");
}

#[test]
fn a_joint_change_takes_both_majorities() {
    let mut network = Network::new(3);
    for id in 4..=6 {
        network.add(plain(id), MemoryStorage::with_voters(&[1, 2, 3]));
    }
    network.campaign(1);
    let explicit = v2("r2 r3 v4 v5", ConfChangeTransition::JointExplicit);
    network.raw(1).propose_conf_change(&explicit).unwrap();
    network.settle();
    assert_eq!(voters(&network, 1), "voters=(1 4 5)&&(1 2 3)");
    // The new majority alone cannot commit, nor can the old one.
    for cut in [[2, 3], [4, 5]] {
        for id in cut {
            network.isolate(id);
        }
        network.raw(1).propose(bytes("x")).unwrap();
        network.settle();
        assert!(
            network.status(1).commit
                < network.members[&1]
                    .raw
                    .status()
                    .progress
                    .get(node(1))
                    .unwrap()
                    .matched
                    .get()
        );
        network.heal();
        network.tick(1, 1);
        network.tick(1, 1);
    }
    assert_eq!(network.applied(1), ["x", "x"]);
}

/// The entry that leaves a joint configuration is refused during a transfer of leadership; it must not
/// be forgotten.
#[test]
fn leaving_a_joint_change_is_tried_again_after_a_transfer_that_failed() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(3);
    network.raw(1).propose_conf_change(&auto("l4 l5")).unwrap();
    let appends = network.work(1);
    network.raw(1).transfer_leader(3);
    network.deliver(appends);
    assert_eq!(
        voters(&network, 1),
        "voters=(1 2 3)&&(1 2 3) learners=(4 5) autoleave"
    );
    // The transfer is given up; the next entry that is applied reminds the leader.
    network.tick(1, 10);
    network.propose(1, "reminder");
    assert_eq!(voters(&network, 1), "voters=(1 2 3) learners=(4 5)");
}

#[test]
fn leaving_a_joint_change_is_up_to_the_next_leader_if_the_first_one_could_not() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(3);
    network.raw(1).propose_conf_change(&auto("l4 l5")).unwrap();
    let appends = network.work(1);
    network.raw(1).transfer_leader(3);
    network.deliver(appends);
    assert_eq!(
        voters(&network, 2),
        "voters=(1 2 3)&&(1 2 3) learners=(4 5) autoleave"
    );
    network.heal();
    network.isolate(1);
    network.campaign(2);
    assert_eq!(voters(&network, 2), "voters=(1 2 3) learners=(4 5)");
    assert_eq!(voters(&network, 3), "voters=(1 2 3) learners=(4 5)");
}

#[test]
fn a_leader_that_is_removed_steps_down_if_told_to() {
    for step_down_on_removal in [false, true] {
        let mut network = Network::with(3, |id| Config {
            step_down_on_removal,
            ..plain(id)
        });
        network.campaign(1);
        network.raw(1).propose_conf_change(&remove(1)).unwrap();
        network.settle();
        let expected = if step_down_on_removal {
            StateRole::Follower
        } else {
            StateRole::Leader
        };
        assert_eq!(network.role(1), expected);
        let refused = network.raw(1).propose(bytes("x"));
        assert!(
            matches!(refused, Err(Error::ProposalDropped)),
            "not a member: nothing is taken"
        );
        network.campaign(2);
        assert_eq!(network.role(2), StateRole::Leader, "the others go on");
        network.propose(2, "y");
        assert_eq!(network.applied(3), ["y"]);
    }
}

#[test]
fn a_leader_that_becomes_a_learner_steps_down_if_told_to() {
    let mut network = Network::with(3, |id| Config {
        step_down_on_removal: true,
        ..plain(id)
    });
    network.campaign(1);
    network.raw(1).propose_conf_change(&auto("l1")).unwrap();
    network.settle();
    assert_eq!(network.role(1), StateRole::Follower);
    assert_eq!(voters(&network, 1), "voters=(2 3) learners=(1)");
}

#[test]
fn a_change_that_means_nothing_is_refused_before_it_reaches_the_log() {
    for validate in [true, false] {
        let mut network = Network::with(1, |id| Config {
            disable_conf_change_validation: !validate,
            ..plain(id)
        });
        network.campaign(1);
        let bad = [
            Entry {
                r#type: EntryType::EntryConfChange as i32,
                data: Some(bytes("garbage")),
                ..Entry::default()
            },
            varve_raft::ConfChangeExt::to_entry(&ConfChangeV2 {
                transition: 9,
                ..ConfChangeV2::default()
            }),
            varve_raft::ConfChangeExt::to_entry(&ConfChange {
                r#type: 9,
                ..add(2)
            }),
        ];
        for entry in bad {
            let entries = vec![
                Entry {
                    data: Some(bytes("x")),
                    ..Entry::default()
                },
                entry,
            ];
            let proposal = Message {
                entries,
                ..message(MessageType::MsgProp, 2, 1, 0)
            };
            assert!(matches!(
                network.raw(1).step(proposal),
                Err(Error::ConfChange(_))
            ));
        }
        network.settle();
        assert_eq!(
            network.status(1).commit,
            1,
            "nothing was appended, the sound entries neither"
        );
        // And later changes are not held up by it.
        network.raw(1).propose_conf_change(&add(2)).unwrap();
        network.settle();
        assert_eq!(voters(&network, 1), "voters=(1 2)");
    }
}

#[test]
fn without_validation_a_leader_takes_any_change_that_means_something() {
    let mut network = Network::with(1, |id| Config {
        disable_conf_change_validation: true,
        ..plain(id)
    });
    network.campaign(1);
    for id in 2..=3 {
        network.raw(1).propose_conf_change(&add(id)).unwrap();
    }
    network.settle();
    // The second one was under way before the first was applied; it takes 2 to commit it.
    assert_eq!(kinds(&network, 1)[1..], [EntryType::EntryConfChange; 2]);
}

#[test]
fn removing_everyone_is_refused_by_all() {
    let mut network = Network::new(1);
    network.campaign(1);
    let change = auto("r1");
    assert!(matches!(
        network.raw(1).try_apply_conf_change(&change),
        Err(Error::ConfChange(_))
    ));
    assert_eq!(voters(&network, 1), "voters=(1)");
}
