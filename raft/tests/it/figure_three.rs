//! The five properties that the Raft paper guarantees (figure 3), one test each.
//!
//! Five members whose links are cut and healed in either direction at random, who campaign, propose and
//! restart; after every step the property is checked. Each test also counts what it saw, so that a schedule
//! in which nothing happens does not pass. `varve-sim` checks the same, and more, with messages that are
//! late and disks that lose what was not synced.

use std::collections::BTreeMap;

use varve_proto::raftpb::{Entry, MessageType};
use varve_raft::{Jitter as _, MemoryStorage, SeededJitter, StateRole, Storage as _};

use crate::network::{Network, plain};

const MEMBERS: u64 = 5;
const SCHEDULES: u64 = 60;
const STEPS: usize = 80;

/// Runs all schedules; `look` is called after every step, with the number of the schedule.
fn schedules(mut look: impl FnMut(u64, &Network)) {
    for seed in 0..SCHEDULES {
        let mut chance = SeededJitter::new(seed);
        let mut network = Network::new(MEMBERS);
        for step in 0..STEPS {
            disturb(&mut network, &mut chance, step);
            look(seed, &network);
        }
    }
}

fn disturb(network: &mut Network, chance: &mut SeededJitter, step: usize) {
    let mut member = || chance.ticks(5) as u64 + 1;
    let (one, other) = (member(), member());
    match chance.ticks(14) {
        0 | 1 => network.campaign(one),
        2 => network.isolate(one),
        3 | 4 if one != other => network.cut(one, other),
        5 => network.heal(),
        6 => {
            // What it had handed out is on its disk; all else is lost.
            let storage: MemoryStorage = network.members[&one].storage.clone();
            network.add(plain(one), storage);
            network.settle();
        }
        7 => network.tick(one, 1),
        8 | 9 => {
            // Elected without being able to say so: who missed it may campaign in the same term, with a
            // log as good.
            network.ignore(MessageType::MsgApp);
            network.cut(one, other);
            network.cut(one, other % MEMBERS + 1);
            network.campaign(one);
            network.carry_all_kinds();
            network.campaign(other);
        }
        _ => {
            // By whoever leads, or believes to.
            for id in 1..=MEMBERS {
                if network.role(id) == StateRole::Leader {
                    network.propose(id, &format!("{step} by {id}"));
                }
            }
        }
    }
}

/// A member's log. Everything is written when a step is over.
fn log(network: &Network, id: u64) -> Vec<Entry> {
    let storage = &network.members[&id].storage;
    let end = storage.last_index().unwrap() + 1;
    storage.entries(1..end, u64::MAX).unwrap_or_default()
}

/// Who leads, with the term.
fn leaders(network: &Network) -> impl Iterator<Item = (u64, u64)> {
    (1..=MEMBERS)
        .map(|id| network.status(id))
        .filter(|status| status.role == StateRole::Leader)
        .map(|status| (status.id, status.term))
}

#[test]
fn election_safety_at_most_one_leader_is_elected_in_a_term() {
    let mut elected: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    schedules(|seed, network| {
        for (id, term) in leaders(network) {
            let first = *elected.entry((seed, term)).or_insert(id);
            assert_eq!(first, id, "seed {seed}: two leaders of term {term}");
        }
    });
    assert!(elected.len() > 200, "{} elections", elected.len());
}

#[test]
fn leader_append_only_a_leader_never_overwrites_or_deletes_its_entries() {
    let mut known: BTreeMap<(u64, u64, u64), Vec<Entry>> = BTreeMap::new();
    let mut grown = 0;
    schedules(|seed, network| {
        for (id, term) in leaders(network) {
            let now = log(network, id);
            let before = known.entry((seed, id, term)).or_default();
            assert!(
                now.starts_with(before),
                "seed {seed}: leader {id} of term {term} changed its log"
            );
            grown += usize::from(!before.is_empty() && now.len() > before.len());
            *before = now;
        }
    });
    assert!(grown > 200, "a leader's log grew {grown} times");
}

#[test]
fn log_matching_an_entry_in_two_logs_has_the_same_entries_before_it() {
    let mut conflicts = 0;
    schedules(|seed, network| {
        let logs: Vec<_> = (1..=MEMBERS).map(|id| log(network, id)).collect();
        for (at, one) in logs.iter().enumerate() {
            for other in &logs[..at] {
                let same = |(a, b): &(&Entry, &Entry)| a.term == b.term;
                let last = one.iter().zip(other).rposition(|pair| same(&pair));
                let shared = last.map_or(0, |last| last + 1);
                assert_eq!(one[..shared], other[..shared], "seed {seed}");
                conflicts += usize::from(one.len().min(other.len()) > shared);
            }
        }
    });
    assert!(conflicts > 100, "logs differed {conflicts} times");
}

#[test]
fn leader_completeness_what_is_committed_is_in_the_log_of_every_later_leader() {
    // By schedule and index: the entry, and the term by whose leader it was committed at the latest.
    let mut committed: BTreeMap<(u64, u64), (Entry, u64)> = BTreeMap::new();
    let mut checked = 0;
    schedules(|seed, network| {
        for (id, term) in leaders(network) {
            let own = log(network, id);
            for ((_, index), (entry, in_term)) in committed.range((seed, 0)..=(seed, u64::MAX)) {
                if *in_term < term {
                    let at = usize::try_from(*index).unwrap() - 1;
                    assert_eq!(
                        own.get(at),
                        Some(entry),
                        "seed {seed}: leader {id} of {term}"
                    );
                    checked += 1;
                }
            }
        }
        for id in 1..=MEMBERS {
            let status = network.status(id);
            for entry in log(network, id) {
                if entry.index <= status.commit {
                    let place = (seed, entry.index);
                    let (first, _) = committed
                        .entry(place)
                        .or_insert_with(|| (entry.clone(), status.term));
                    assert_eq!(*first, entry, "seed {seed}: two entries are committed");
                }
            }
        }
    });
    assert!(checked > 1000, "{checked} entries were looked for");
}

#[test]
fn state_machine_safety_no_two_members_apply_different_entries_at_an_index() {
    let mut applied: BTreeMap<(u64, u64), Entry> = BTreeMap::new();
    let mut agreed = 0;
    schedules(|seed, network| {
        for (id, member) in &network.members {
            for (index, entry) in (1..).zip(&member.applied) {
                assert_eq!(entry.index, index, "seed {seed}: {id} applies in order");
                let first = applied
                    .entry((seed, index))
                    .or_insert_with(|| entry.clone());
                assert_eq!(first, entry, "seed {seed}: {id} applies something else");
                agreed += 1;
            }
        }
    });
    assert!(agreed > 10_000, "{agreed} times");
}
