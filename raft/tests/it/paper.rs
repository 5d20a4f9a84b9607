//! The Raft paper, section by section: one test per rule.

use varve_proto::raftpb::{Entry, HardState, Message, MessageType};
use varve_raft::{Config, MemoryStorage, RawNode, StateRole, Storage as _};

use crate::network::{Network, bytes, message, plain};

fn entries(terms: &[u64]) -> Vec<Entry> {
    (1..)
        .zip(terms)
        .map(|(index, &term)| Entry {
            term,
            index,
            ..Entry::default()
        })
        .collect()
}

/// Storage of a member of {1, 2, 3} with entries of these terms, in the last of these terms.
fn storage(terms: &[u64]) -> MemoryStorage {
    let storage = MemoryStorage::with_voters(&[1, 2, 3]);
    storage.append(&entries(terms)).unwrap();
    let term = terms.last().copied().unwrap_or(0);
    storage.set_hard_state(HardState {
        term,
        vote: 0,
        commit: 0,
    });
    storage
}

/// Node 1 alone, and what it says next.
struct Lone {
    raw: RawNode<MemoryStorage>,
    storage: MemoryStorage,
}

impl Lone {
    fn new(storage: MemoryStorage, config: Config) -> Self {
        Self {
            raw: RawNode::new(config, storage.clone()).unwrap(),
            storage,
        }
    }

    fn says(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            self.storage.append(&ready.entries).unwrap();
            messages.append(&mut ready.messages);
            self.raw.advance(ready);
        }
        messages
    }

    fn hears(&mut self, message: Message) -> Vec<Message> {
        self.raw.step(message).unwrap();
        self.says()
    }

    fn role(&self) -> StateRole {
        self.raw.basic_status().role
    }

    fn term(&self) -> u64 {
        self.raw.basic_status().term
    }
}

fn kinds(messages: &[Message]) -> Vec<(MessageType, u64)> {
    messages
        .iter()
        .map(|message| (message.r#type(), message.to))
        .collect()
}

// ---- 5.1 Terms ----

#[test]
fn a_node_that_learns_of_a_later_term_follows() {
    for kind in [
        MessageType::MsgApp,
        MessageType::MsgHeartbeat,
        MessageType::MsgVote,
    ] {
        let mut candidate = Lone::new(storage(&[]), plain(1));
        candidate.raw.campaign().unwrap();
        candidate.says();
        let mut leader = Lone::new(storage(&[]), plain(1));
        leader.raw.campaign().unwrap();
        leader.says();
        leader.hears(message(MessageType::MsgVoteResp, 2, 1, 1));
        assert_eq!(leader.role(), StateRole::Leader);
        for node in [&mut candidate, &mut leader] {
            node.hears(message(kind, 2, 1, 7));
            assert_eq!(
                (node.role(), node.term()),
                (StateRole::Follower, 7),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn a_message_of_an_earlier_term_has_no_effect() {
    let mut node = Lone::new(storage(&[1, 2]), plain(1));
    let before = node.raw.basic_status();
    let answers = node.hears(Message {
        entries: vec![Entry {
            term: 1,
            index: 3,
            ..Entry::default()
        }],
        index: 2,
        log_term: 1,
        ..message(MessageType::MsgApp, 2, 1, 1)
    });
    assert_eq!(answers, []);
    assert_eq!(node.raw.basic_status(), before);
    assert_eq!(node.raw.storage().term(2).unwrap(), 2);
}

// ---- 5.2 Leader election ----

#[test]
fn a_node_starts_as_a_follower() {
    assert_eq!(
        Lone::new(storage(&[]), plain(1)).role(),
        StateRole::Follower
    );
}

#[test]
fn a_leader_sends_heartbeats_to_everyone_at_every_interval() {
    let mut network = Network::with(3, |id| Config {
        heartbeat_tick: 2,
        ..plain(id)
    });
    network.campaign(1);
    network.raw(1).tick();
    assert!(!network.raw(1).has_ready());
    network.raw(1).tick();
    let heartbeats = network.work(1);
    let expected = [
        (MessageType::MsgHeartbeat, 2),
        (MessageType::MsgHeartbeat, 3),
    ];
    assert_eq!(kinds(&heartbeats), expected);
}

#[test]
fn a_node_without_a_leader_campaigns_in_a_new_term_and_votes_for_itself() {
    for candidate in [false, true] {
        let mut node = Lone::new(storage(&[]), plain(1));
        if candidate {
            node.raw.campaign().unwrap();
            node.says();
        }
        let term = node.term();
        // No timeout is longer than twice the election timeout.
        for _ in 0..20 {
            if node.term() == term {
                node.raw.tick();
            }
        }
        assert_eq!((node.role(), node.term()), (StateRole::Candidate, term + 1));
        let status = node.raw.basic_status();
        assert_eq!((status.vote, status.lead), (1, 0));
        let asks = node.says();
        assert_eq!(
            kinds(&asks),
            [(MessageType::MsgVote, 2), (MessageType::MsgVote, 3)]
        );
        assert!(asks.iter().all(|ask| ask.term == term + 1));
    }
}

#[test]
fn a_majority_of_votes_wins_and_a_majority_of_refusals_loses() {
    use StateRole::{Candidate, Follower, Leader};
    // voters, votes (beside its own), role then
    type Row<'a> = (u64, &'a [(u64, bool)], StateRole);
    let table: [Row<'_>; 10] = [
        (1, &[], Leader),
        (3, &[(2, true), (3, true)], Leader),
        (3, &[(2, true)], Leader),
        (5, &[(2, true), (3, true), (4, true), (5, true)], Leader),
        (5, &[(2, true), (3, true)], Leader),
        (3, &[(2, false), (3, false)], Follower),
        (5, &[(2, false), (3, false), (4, false)], Follower),
        (3, &[], Candidate),
        (5, &[(2, true)], Candidate),
        // The same vote twice is one vote.
        (5, &[(2, true), (2, true), (3, false)], Candidate),
    ];
    for (count, votes, expected) in table {
        let ids: Vec<u64> = (1..=count).collect();
        let mut node = Lone::new(MemoryStorage::with_voters(&ids), plain(1));
        node.raw.campaign().unwrap();
        node.says();
        for (from, granted) in votes {
            let vote = message(MessageType::MsgVoteResp, *from, 1, 1);
            node.hears(Message {
                reject: !granted,
                ..vote
            });
        }
        assert_eq!(
            (node.role(), node.term()),
            (expected, 1),
            "{count} {votes:?}"
        );
    }
}

#[test]
fn a_follower_votes_once_per_term_first_come_first_served() {
    for (voted, asks, granted) in [
        (0, 2, true),
        (0, 3, true),
        (2, 2, true),
        (3, 3, true),
        (2, 3, false),
        (3, 2, false),
    ] {
        let storage = MemoryStorage::with_voters(&[1, 2, 3]);
        storage.set_hard_state(HardState {
            term: 1,
            vote: voted,
            commit: 0,
        });
        let mut node = Lone::new(storage, plain(1));
        let answers = node.hears(message(MessageType::MsgVote, asks, 1, 1));
        assert_eq!(kinds(&answers), [(MessageType::MsgVoteResp, asks)]);
        assert_eq!(
            answers[0].reject, !granted,
            "voted for {voted}, {asks} asks"
        );
    }
}

#[test]
fn a_candidate_that_meets_the_leader_of_its_term_follows_it() {
    for term in [1, 2] {
        let mut node = Lone::new(storage(&[]), plain(1));
        node.raw.campaign().unwrap();
        node.says();
        node.hears(message(MessageType::MsgApp, 2, 1, term));
        let status = node.raw.basic_status();
        assert_eq!(
            (status.role, status.term, status.lead),
            (StateRole::Follower, term, 2)
        );
    }
}

#[test]
fn election_timeouts_spread_between_one_and_two_intervals() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let jitter = Box::new(varve_raft::SeededJitter::new(seed));
        let mut node = Lone::new(storage(&[]), Config { jitter, ..plain(1) });
        let mut ticks = 0;
        while node.role() == StateRole::Follower {
            node.raw.tick();
            ticks += 1;
        }
        seen.insert(ticks);
    }
    // All of them: 10 to 19 ticks.
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        (10..20).collect::<Vec<_>>()
    );
}

#[test]
fn members_with_different_seeds_rarely_campaign_together() {
    let mut together = 0;
    for seed in 0..100 {
        let ticks_of = |id: u64| {
            let jitter = Box::new(varve_raft::SeededJitter::new(seed * 10 + id));
            let mut node = Lone::new(storage(&[]), Config { jitter, ..plain(1) });
            (1..100).find(|_| {
                node.raw.tick();
                node.role() != StateRole::Follower
            })
        };
        let mut ticks = [1, 2, 3].map(ticks_of);
        ticks.sort_unstable();
        together += u32::from(ticks[0] == ticks[1]);
    }
    assert!(
        together < 30,
        "{together} of 100 elections started together"
    );
}

// ---- 5.3 Log replication ----

#[test]
fn a_leader_appends_a_proposal_and_sends_it_with_what_precedes_it() {
    let mut network = Network::new(3);
    network.campaign(1);
    network.raw(1).propose(bytes("some data")).unwrap();
    let appends = network.work(1);
    assert_eq!(
        kinds(&appends),
        [(MessageType::MsgApp, 2), (MessageType::MsgApp, 3)]
    );
    for append in &appends {
        assert_eq!((append.log_term, append.index, append.commit), (1, 1, 1));
        assert_eq!(append.entries.len(), 1);
        assert_eq!((append.entries[0].term, append.entries[0].index), (1, 2));
    }
    assert_eq!(network.status(1).commit, 1, "nobody else has it yet");
}

#[test]
fn an_entry_is_committed_once_a_majority_has_it() {
    // Who of five acknowledges -> committed
    let table: [(&[u64], bool); 6] = [
        (&[], false),
        (&[2], false),
        (&[2, 3], true),
        (&[2, 3, 4], true),
        (&[4, 5], true),
        (&[2, 2], false),
    ];
    for (acknowledging, committed) in table {
        let mut network = Network::new(5);
        network.campaign(1);
        network.raw(1).propose(bytes("x")).unwrap();
        network.work(1);
        for &from in acknowledging {
            let ack = Message {
                index: 2,
                ..message(MessageType::MsgAppResp, from, 1, 1)
            };
            network.raw(1).step(ack).unwrap();
        }
        assert_eq!(
            network.status(1).commit == 2,
            committed,
            "{acknowledging:?}"
        );
    }
}

#[test]
fn committing_an_entry_commits_all_before_it_also_of_earlier_terms() {
    for terms in [&[][..], &[2], &[1, 2], &[1]] {
        let mut network = Network::on((0..3).map(|_| storage(terms)).collect(), plain);
        network.campaign(1);
        network.propose(1, "some data");
        let last = terms.len() as u64 + 2;
        for id in 1..=3 {
            assert_eq!(network.status(id).commit, last);
            let applied: Vec<u64> = network.members[&id]
                .applied
                .iter()
                .map(|entry| entry.index)
                .collect();
            assert_eq!(applied, (1..=last).collect::<Vec<_>>());
        }
    }
}

#[test]
fn followers_learn_what_is_committed_and_apply_it_in_order() {
    let mut node = Lone::new(storage(&[]), plain(1));
    let append = Message {
        entries: entries(&[1, 1, 1]),
        commit: 2,
        ..message(MessageType::MsgApp, 2, 1, 1)
    };
    node.raw.step(append).unwrap();
    let ready = node.raw.ready();
    let applied: Vec<u64> = ready
        .committed_entries
        .iter()
        .map(|entry| entry.index)
        .collect();
    assert_eq!(applied, [1, 2]);
    node.storage.append(&ready.entries).unwrap();
    node.raw.advance(ready);
    assert_eq!(node.raw.basic_status().commit, 2);
}

#[test]
fn a_follower_refuses_an_append_after_an_entry_it_does_not_have() {
    // Follower: 1/1, 2/2. previous of the append -> refused, acknowledged or rejected index, hint
    let table = [
        (0, 0, false, 1, 0),
        (1, 1, false, 1, 0),
        (2, 2, false, 2, 0),
        // Another term there: hint at the entry before.
        (1, 2, true, 2, 1),
        // Beyond the end: hint at the end.
        (3, 3, true, 3, 2),
    ];
    for (log_term, index, refused, acknowledged, hint) in table {
        let storage = storage(&[1, 2]);
        storage.set_hard_state(HardState {
            term: 2,
            vote: 0,
            commit: 1,
        });
        let mut node = Lone::new(storage, plain(1));
        let append = Message {
            log_term,
            index,
            ..message(MessageType::MsgApp, 2, 1, 3)
        };
        let answers = node.hears(append);
        let answer = answers
            .iter()
            .find(|m| m.r#type() == MessageType::MsgAppResp)
            .unwrap();
        let case = format!("{log_term}/{index}");
        assert_eq!(
            (answer.reject, answer.index),
            (refused, acknowledged),
            "{case}"
        );
        assert_eq!(answer.reject_hint, hint, "{case}");
    }
}

#[test]
fn a_follower_deletes_what_conflicts_with_the_leader_and_keeps_what_does_not() {
    // previous, entries -> terms of the log
    type Row<'a> = ((u64, u64), &'a [(u64, u64)], &'a [u64]);
    let table: [Row<'_>; 4] = [
        ((2, 2), &[(3, 3)], &[1, 2, 3]),
        ((1, 1), &[(3, 2), (4, 3)], &[1, 3, 4]),
        ((0, 0), &[(1, 1)], &[1, 2]),
        ((0, 0), &[(3, 1)], &[3]),
    ];
    for ((log_term, index), added, expected) in table {
        let mut node = Lone::new(storage(&[1, 2]), plain(1));
        let entries = added
            .iter()
            .map(|&(term, index)| Entry {
                term,
                index,
                ..Entry::default()
            })
            .collect();
        node.hears(Message {
            log_term,
            index,
            entries,
            ..message(MessageType::MsgApp, 2, 1, 4)
        });
        let last = node.storage.last_index().unwrap();
        let terms: Vec<u64> = (1..=last)
            .map(|at| node.storage.term(at).unwrap())
            .collect();
        assert_eq!(terms, expected);
    }
}

/// Figure 7: a leader and six followers that lag, run ahead, or both.
#[test]
fn a_leader_makes_every_follower_log_its_own() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for follower in followers {
        // A third member makes the leader's election possible whatever the follower has.
        let stores = [leader, follower, &[][..]].map(storage);
        for store in &stores {
            store.set_hard_state(HardState {
                term: 7,
                vote: 0,
                commit: 0,
            });
        }
        let mut network = Network::on(stores.to_vec(), plain);
        network.campaign(1);
        assert_eq!(network.role(1), StateRole::Leader, "against {follower:?}");
        network.propose(1, "");
        let log = |id: u64| {
            let storage = &network.members[&id].storage;
            storage
                .entries(1..storage.last_index().unwrap() + 1, u64::MAX)
                .unwrap()
        };
        assert_eq!(log(2), log(1), "from {follower:?}");
        assert_eq!(log(3), log(1));
    }
}

// ---- 5.4 Safety ----

#[test]
fn a_vote_request_tells_the_end_of_the_log() {
    for terms in [&[1][..], &[1, 2], &[2, 2]] {
        let mut node = Lone::new(storage(terms), plain(1));
        node.raw.campaign().unwrap();
        let asks = node.says();
        assert_eq!(asks.len(), 2);
        for ask in asks {
            assert_eq!(ask.index, terms.len() as u64);
            assert_eq!(ask.log_term, *terms.last().unwrap());
            assert_eq!(ask.term, terms.last().unwrap() + 1);
        }
    }
}

#[test]
fn a_node_does_not_vote_for_a_log_behind_its_own() {
    // own log, log term and index of the candidate -> refused
    let table: [(&[u64], u64, u64, bool); 9] = [
        (&[1], 1, 1, false),
        (&[1], 1, 2, false),
        (&[1, 1], 1, 1, true),
        (&[1], 2, 1, false),
        (&[1], 2, 2, false),
        (&[1, 1], 2, 1, false),
        (&[2], 1, 1, true),
        (&[2], 1, 2, true),
        (&[2], 1, 9, true),
    ];
    for (terms, log_term, index, refused) in table {
        let mut node = Lone::new(storage(terms), plain(1));
        let ask = Message {
            log_term,
            index,
            ..message(MessageType::MsgVote, 2, 1, 3)
        };
        let answers = node.hears(ask);
        assert_eq!(answers[0].reject, refused, "{terms:?} {log_term}/{index}");
    }
}

#[test]
fn a_leader_commits_entries_of_earlier_terms_only_along_with_one_of_its_own() {
    // Log 1/1 2/2, then 3/3 with the election. Acknowledged index -> committed.
    for (acknowledged, committed) in [(1, 0), (2, 0), (3, 3)] {
        let mut node = Lone::new(storage(&[1, 2]), plain(1));
        node.raw.campaign().unwrap();
        node.says();
        node.hears(message(MessageType::MsgVoteResp, 2, 1, 3));
        let ack = message(MessageType::MsgAppResp, 2, 1, 3);
        node.hears(Message {
            index: acknowledged,
            ..ack
        });
        assert_eq!(node.raw.basic_status().commit, committed, "{acknowledged}");
    }
}

#[test]
fn a_leader_that_was_cut_off_gives_up_what_it_could_not_commit() {
    let mut network = Network::new(5);
    network.campaign(1);
    network.isolate(1);
    network.propose(1, "lost");
    assert_eq!(network.status(1).commit, 1);
    network.campaign(2);
    network.propose(2, "kept");
    network.heal();
    network.tick(2, 1);
    network.propose(2, "after");
    for id in 1..=5 {
        assert_eq!(network.applied(id), ["kept", "after"], "member {id}");
    }
}
