//! Elections beyond the paper: pre-votes, quorum checks, leases, transfers, learners.

use varve_proto::raftpb::{ConfState, HardState, Message, MessageType, Snapshot};
use varve_raft::{Config, MemoryStorage, ReadOnlyOption, StateRole};

use crate::network::{Network, bytes, message, plain};

fn checking(id: u64) -> Config {
    Config {
        check_quorum: true,
        ..plain(id)
    }
}

fn pre_voting(id: u64) -> Config {
    Config {
        pre_vote: true,
        ..plain(id)
    }
}

fn careful(id: u64) -> Config {
    Config {
        pre_vote: true,
        check_quorum: true,
        ..plain(id)
    }
}

/// Members 1.. are voters, the rest learners.
fn with_learners(voters: u64, learners: u64) -> Vec<MemoryStorage> {
    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 1;
    snapshot.metadata.term = 1;
    snapshot.metadata.conf_state = ConfState {
        voters: (1..=voters).collect(),
        learners: (voters + 1..=voters + learners).collect(),
        ..ConfState::default()
    };
    let store = |_| {
        let storage = MemoryStorage::new();
        storage.apply_snapshot(snapshot.clone()).unwrap();
        storage.set_hard_state(HardState {
            term: 1,
            vote: 0,
            commit: 1,
        });
        storage
    };
    (0..voters + learners).map(store).collect()
}

#[test]
fn leadership_can_go_around() {
    for config in [plain, checking, pre_voting, careful] {
        let mut network = Network::with(3, config);
        for id in [1, 2, 3, 1] {
            // With quorum checks a vote takes that the leader was not heard from for a while.
            for other in 1..=3 {
                network.raw(other).forget_leader();
            }
            network.campaign(id);
            if network.role(id) != StateRole::Leader {
                // A leader that is alive refuses; it has to be gone.
                let leader = network.status(id).lead.max(1);
                network.isolate(leader);
                network.campaign(id);
                network.heal();
                network.tick(id, 1);
            }
            assert_eq!(network.role(id), StateRole::Leader, "{id}");
            let leaders = (1..=3).filter(|member| network.role(*member) == StateRole::Leader);
            assert_eq!(leaders.count(), 1);
        }
    }
}

#[test]
fn a_pre_vote_changes_neither_term_nor_vote() {
    let mut network = Network::with(3, pre_voting);
    network.isolate(1);
    network.campaign(1);
    let status = network.status(1);
    assert_eq!(
        (status.role, status.term, status.vote),
        (StateRole::PreCandidate, 0, 0)
    );
    // Asked for the next term, without entering it.
    let asked: Vec<(MessageType, u64)> = network
        .lost
        .iter()
        .map(|message| (message.r#type(), message.term))
        .collect();
    assert_eq!(
        asked,
        [(MessageType::MsgPreVote, 1), (MessageType::MsgPreVote, 1)]
    );
}

#[test]
fn a_node_grants_pre_votes_to_everyone_who_is_up_to_date() {
    let mut network = Network::with(3, pre_voting);
    for from in [2, 3] {
        let ask = message(MessageType::MsgPreVote, from, 1, 1);
        network.raw(1).step(ask).unwrap();
        let answers = network.work(1);
        assert_eq!(answers[0].r#type(), MessageType::MsgPreVoteResp);
        assert!(!answers[0].reject);
        assert_eq!(answers[0].term, 1, "the term that was asked about");
    }
    assert_eq!(network.status(1).vote, 0);
}

#[test]
fn a_pre_candidate_that_loses_follows_without_a_new_term() {
    let mut network = Network::with(3, pre_voting);
    network.isolate(1);
    network.campaign(1);
    for from in [2, 3] {
        let refusal = Message {
            reject: true,
            ..message(MessageType::MsgPreVoteResp, from, 1, 1)
        };
        network.raw(1).step(refusal).unwrap();
    }
    let status = network.status(1);
    assert_eq!(status.role, StateRole::Follower);
}

#[test]
fn answers_to_a_pre_candidacy_do_not_count_for_the_candidacy() {
    let mut network = Network::with(5, pre_voting);
    network.isolate(1);
    network.campaign(1);
    let term = 1;
    for from in [2, 3] {
        let granted = message(MessageType::MsgPreVoteResp, from, 1, term);
        network.raw(1).step(granted).unwrap();
    }
    network.settle();
    assert_eq!(network.role(1), StateRole::Candidate);
    // A late pre-vote is not a vote.
    for from in [4, 5] {
        let granted = message(MessageType::MsgPreVoteResp, from, 1, term);
        network.raw(1).step(granted).unwrap();
    }
    assert_eq!(network.role(1), StateRole::Candidate);
}

#[test]
fn a_member_that_was_cut_off_does_not_disturb_with_pre_votes() {
    let mut network = Network::with(3, careful);
    network.campaign(1);
    network.isolate(3);
    for _ in 0..5 {
        network.tick(3, 20);
    }
    assert_eq!(network.status(3).term, 1, "it never got to a new term");
    network.heal();
    network.campaign(3);
    network.propose(1, "undisturbed");
    assert_eq!(network.role(1), StateRole::Leader);
    assert_eq!(network.status(1).term, 1);
    network.tick(1, 1);
    assert_eq!(network.applied(3), ["undisturbed"]);
}

/// A member that ran ahead in terms without pre-votes gets back in when pre-votes are switched on.
#[test]
fn a_cluster_that_is_migrated_to_pre_votes_does_not_lock_up() {
    let mut network = Network::with(3, |id| if id == 3 { plain(id) } else { pre_voting(id) });
    network.campaign(1);
    network.isolate(3);
    for _ in 0..3 {
        network.campaign(3);
    }
    network.propose(1, "x");
    assert_eq!(network.status(3).term, 4);
    // Member 3 is restarted with pre-votes, and the leader is lost.
    let storage = network.members[&3].storage.clone();
    network.add(pre_voting(3), storage);
    network.heal();
    network.isolate(1);
    for _ in 0..3 {
        network.campaign(3);
        network.campaign(2);
    }
    assert_eq!(
        network.role(2),
        StateRole::Leader,
        "the only one that is up to date"
    );
}

#[test]
fn a_leader_without_a_quorum_steps_down() {
    let mut network = Network::with(3, checking);
    network.campaign(1);
    network.isolate(1);
    // The first check still finds the answers to the election.
    network.tick(1, 10);
    assert_eq!(network.role(1), StateRole::Leader);
    network.tick(1, 10);
    assert_eq!(network.role(1), StateRole::Follower);
    assert_eq!(network.status(1).lead, 0);
}

#[test]
fn a_leader_with_a_quorum_stays() {
    let mut network = Network::with(3, checking);
    network.campaign(1);
    network.isolate(3);
    network.tick(1, 50);
    assert_eq!(network.role(1), StateRole::Leader);
}

#[test]
fn while_a_leader_is_heard_from_nobody_else_is_voted_for() {
    let mut network = Network::with(3, checking);
    network.campaign(1);
    network.cut(3, 1);
    network.cut(1, 3);
    network.campaign(3);
    assert_eq!(network.role(3), StateRole::Candidate);
    assert_eq!(
        network.status(2).term,
        1,
        "2 hears from 1 and does not listen to 3"
    );
    // Once 2 has not heard from 1 for an election timeout it votes.
    network.isolate(1);
    network.cut(1, 3);
    network.raw(2).set_randomized_election_timeout(1000);
    network.tick(2, 10);
    network.campaign(3);
    assert_eq!(network.role(3), StateRole::Leader);
}

#[test]
fn a_leader_learns_of_a_later_term_from_a_member_that_is_stuck_in_it() {
    let mut network = Network::with(3, checking);
    network.campaign(1);
    network.isolate(3);
    network.campaign(3);
    network.campaign(3);
    assert_eq!(network.status(3).term, 3);
    network.heal();
    // Nobody takes the vote requests of 3; its answer to a heartbeat tells.
    network.tick(1, 1);
    assert_eq!(
        (network.role(1), network.status(1).term),
        (StateRole::Follower, 3)
    );
    network.campaign(1);
    assert_eq!(network.role(1), StateRole::Leader);
}

#[test]
fn without_quorum_checks_messages_of_earlier_terms_get_no_answer() {
    let mut network = Network::with(3, plain);
    network.campaign(1);
    network.isolate(3);
    network.campaign(3);
    network
        .raw(3)
        .step(message(MessageType::MsgHeartbeat, 1, 3, 1))
        .unwrap();
    assert_eq!(network.work(3), []);
}

#[test]
fn a_transfer_hands_over_at_once_to_whoever_is_up_to_date() {
    for config in [plain, checking, pre_voting, careful] {
        let mut network = Network::with(3, config);
        network.campaign(1);
        network.raw(1).transfer_leader(2);
        network.settle();
        assert_eq!(network.role(2), StateRole::Leader);
        assert_eq!(network.status(1).lead, 2);
        assert_eq!(
            network.status(2).term,
            2,
            "one election, without asking first"
        );
    }
}

#[test]
fn a_transfer_asked_of_a_follower_is_passed_to_the_leader() {
    let mut network = Network::with(3, careful);
    network.campaign(1);
    network.raw(2).transfer_leader(2);
    network.settle();
    assert_eq!(network.role(2), StateRole::Leader);
}

#[test]
fn a_transfer_waits_until_the_transferee_has_everything() {
    let mut network = Network::with(3, careful);
    network.campaign(1);
    network.isolate(3);
    network.propose(1, "x");
    network.heal();
    network.raw(1).transfer_leader(3);
    // Behind, and it was taken for lost: first it is probed.
    assert_eq!(network.status(1).lead_transferee, 3);
    network.tick(1, 1);
    assert_eq!(network.role(3), StateRole::Leader);
    network.propose(3, "y");
    assert_eq!(network.applied(3), ["x", "y"]);
}

#[test]
fn no_proposals_are_taken_during_a_transfer_nor_is_it_forever() {
    let mut network = Network::with(3, careful);
    network.campaign(1);
    network.isolate(3);
    network.raw(1).transfer_leader(3);
    network.settle();
    let refused = network.raw(1).propose(bytes("x"));
    assert!(matches!(refused, Err(varve_raft::Error::ProposalDropped)));
    network.tick(1, 10);
    assert_eq!(network.status(1).lead_transferee, 0);
    network.propose(1, "y");
    assert_eq!(network.applied(1), ["y"]);
}

#[test]
fn a_second_transfer_replaces_the_first_one() {
    let mut network = Network::with(3, plain);
    network.campaign(1);
    network.isolate(3);
    network.raw(1).transfer_leader(3);
    network.raw(1).transfer_leader(3);
    assert_eq!(network.status(1).lead_transferee, 3);
    network.raw(1).transfer_leader(1);
    assert_eq!(
        network.status(1).lead_transferee,
        0,
        "to itself there is nothing to do"
    );
    network.raw(1).transfer_leader(3);
    network.raw(1).transfer_leader(2);
    network.settle();
    assert_eq!(network.role(2), StateRole::Leader);
}

#[test]
fn leadership_is_not_transferred_to_strangers_or_learners() {
    let mut network = Network::on(with_learners(1, 1), plain);
    network.campaign(1);
    for id in [2, 9] {
        network.raw(1).transfer_leader(id);
        network.settle();
        assert_eq!(
            (network.role(1), network.status(1).lead_transferee),
            (StateRole::Leader, 0)
        );
    }
}

#[test]
fn a_transfer_ends_when_its_target_is_removed() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.isolate(3);
    network.raw(1).transfer_leader(3);
    let change = varve_proto::raftpb::ConfChangeV2 {
        changes: varve_raft::parse_conf_changes("r3").unwrap(),
        ..Default::default()
    };
    network.raw(1).apply_conf_change(change);
    assert_eq!(network.status(1).lead_transferee, 0);
}

/// The exact bytes override the lease of a leader that asked for this election; nothing else does.
#[test]
fn only_an_election_the_leader_asked_for_overrides_its_lease() {
    for (context, heeded) in [
        (Some("CampaignTransfer"), true),
        (Some("CampaignElection"), false),
        (None, false),
    ] {
        let mut network = Network::with(3, checking);
        network.campaign(1);
        let ask = Message {
            context: context.map(bytes),
            index: 1,
            log_term: 1,
            ..message(MessageType::MsgVote, 3, 2, 2)
        };
        network.raw(2).step(ask).unwrap();
        assert_eq!(network.status(2).term == 2, heeded, "{context:?}");
        assert_eq!(network.status(2).vote == 3, heeded, "{context:?}");
    }
}

#[test]
fn a_transfer_request_carries_the_bytes_other_versions_look_for() {
    let mut network = Network::with(3, checking);
    network.campaign(1);
    network.ignore(MessageType::MsgVote);
    network.raw(1).transfer_leader(2);
    network.settle();
    let asks: Vec<_> = network
        .lost
        .iter()
        .map(|message| message.context.clone())
        .collect();
    assert_eq!(
        asks,
        [
            Some(bytes("CampaignTransfer")),
            Some(bytes("CampaignTransfer"))
        ]
    );
}

#[test]
fn a_learner_does_not_campaign() {
    let mut network = Network::on(with_learners(1, 1), plain);
    network.tick(2, 100);
    network.campaign(2);
    assert_eq!(
        (network.role(2), network.status(2).term),
        (StateRole::Follower, 1)
    );
    // Nor when it is told to.
    network
        .raw(2)
        .step(message(MessageType::MsgTimeoutNow, 1, 2, 1))
        .unwrap();
    assert_eq!(network.role(2), StateRole::Follower);
}

#[test]
fn a_learner_that_may_have_been_promoted_votes() {
    let mut network = Network::on(with_learners(1, 1), plain);
    let ask = Message {
        index: 9,
        log_term: 2,
        ..message(MessageType::MsgVote, 1, 2, 3)
    };
    network.raw(2).step(ask).unwrap();
    let answers = network.work(2);
    assert!(!answers[0].reject);
}

#[test]
fn a_learner_counts_neither_for_commits_nor_for_a_quorum() {
    let mut network = Network::on(with_learners(2, 2), checking);
    network.campaign(1);
    network.isolate(2);
    network.raw(1).propose(bytes("x")).unwrap();
    network.settle();
    assert!(network.applied(1).is_empty(), "learners cannot commit it");
    network.tick(1, 10);
    network.tick(1, 10);
    assert_eq!(
        network.role(1),
        StateRole::Follower,
        "learners are not a quorum"
    );
}

#[test]
fn a_promoted_learner_can_be_elected() {
    let mut network = Network::on(with_learners(1, 1), plain);
    network.campaign(1);
    let change = varve_proto::raftpb::ConfChange {
        node_id: 2,
        ..Default::default()
    };
    network.raw(1).propose_conf_change(&change).unwrap();
    network.settle();
    network.campaign(2);
    assert_eq!(
        (network.role(1), network.role(2)),
        (StateRole::Follower, StateRole::Leader)
    );
}

#[test]
fn a_node_that_is_no_member_does_not_campaign() {
    let mut network = Network::on(vec![MemoryStorage::new()], plain);
    network.tick(1, 100);
    assert_eq!(network.status(1).term, 0);
}

#[test]
fn a_follower_that_forgot_its_leader_votes_and_learns_again() {
    let mut network = Network::with(3, careful);
    network.campaign(1);
    network.raw(2).forget_leader();
    network.raw(3).forget_leader();
    assert_eq!(network.status(2).lead, 0);
    let refused = network.raw(2).propose(bytes("x"));
    assert!(matches!(refused, Err(varve_raft::Error::ProposalDropped)));
    // The leader did not forget itself, but two others are a majority.
    network.isolate(1);
    network.campaign(3);
    assert_eq!(network.role(3), StateRole::Leader);
    network.heal();
    network.tick(3, 1);
    assert_eq!(network.status(1).lead, 3);
}

#[test]
fn a_follower_does_not_forget_a_leader_that_serves_reads_by_lease() {
    let mut network = Network::with(3, |id| Config {
        read_only_option: ReadOnlyOption::LeaseBased,
        ..checking(id)
    });
    network.campaign(1);
    network.raw(2).forget_leader();
    assert_eq!(network.status(2).lead, 1);
}

#[test]
fn a_node_waits_with_a_campaign_for_changes_it_has_yet_to_apply() {
    let storage = MemoryStorage::with_voters(&[1, 2]);
    let mut entry = varve_raft::ConfChangeExt::to_entry(&varve_proto::raftpb::ConfChange {
        node_id: 3,
        ..Default::default()
    });
    (entry.term, entry.index) = (1, 1);
    storage.append(&[entry]).unwrap();
    storage.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 1,
    });
    let mut network = Network::on(vec![storage], plain);
    network.raw(1).campaign().unwrap();
    assert_eq!(
        network.role(1),
        StateRole::Follower,
        "it may not be a voter any more"
    );
    network.settle();
    network.raw(1).campaign().unwrap();
    assert_eq!(network.role(1), StateRole::Candidate);
}
