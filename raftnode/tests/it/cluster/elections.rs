//! Who leads: after a start, a death, a cut, a transfer, with a disk that hangs.
use std::sync::mpsc::{Receiver, channel};

use varve_raftnode::{RequestError, Role};
use varve_vfs::CrashRule;

use super::world::{ELECTION_TICKS, Settings, World};

fn world(members: u64) -> World {
    World::new(members, Settings::default())
}

fn transfer(world: &World, at: u64, to: Option<u64>) -> Receiver<Result<u64, RequestError>> {
    let (done, answer) = channel();
    let done = Box::new(move |outcome| {
        let _gone = done.send(outcome);
    });
    world.node(at).transfer_leader(to, done).unwrap();
    answer
}

fn others(world: &World, id: u64) -> Vec<u64> {
    world.alive().into_iter().filter(|o| *o != id).collect()
}

#[test]
fn members_that_start_together_elect_one_leader_and_apply_the_same() {
    for members in [2, 3, 5] {
        let mut world = world(members);
        let leader = world.elect();
        let follower = others(&world, leader)[0];
        for i in 0..20 {
            // What a follower is asked for it passes on.
            world.put(if i % 2 == 0 { leader } else { follower });
        }
        world.agree();
        assert_eq!(world.history.len(), 20);
    }
}

#[test]
fn after_the_leader_died_another_leads_and_nothing_acknowledged_is_lost() {
    let mut world = world(3);
    for round in 0..6 {
        let leader = world.elect();
        for _ in 0..5 {
            world.put(leader);
        }
        if round % 2 == 0 {
            world.kill(leader);
        } else {
            world.cut_power(leader, CrashRule::LoseUnsynced, round);
        }
        let next = world.elect();
        assert_ne!(next, leader);
        world.put(next);
        world.start(leader).unwrap();
        world.agree();
    }
    assert_eq!(world.history.len(), 36);
}

#[test]
fn all_members_that_lost_power_come_back_with_everything_acknowledged() {
    let mut world = world(3);
    let leader = world.elect();
    for _ in 0..30 {
        world.put(leader);
    }
    for id in world.ids() {
        world.cut_power(id, CrashRule::LoseUnsynced, id);
    }
    for id in world.ids() {
        world.start(id).unwrap();
    }
    world.elect();
    world.agree();
    assert_eq!(world.history.len(), 30);
}

#[test]
fn a_leader_that_is_cut_off_steps_down_and_acknowledges_nothing() {
    let mut world = world(5);
    let old = world.elect();
    let mate = others(&world, old)[0];
    world.put(old);
    let ids = world.ids();
    let majority: Vec<u64> = ids
        .iter()
        .copied()
        .filter(|i| *i != old && *i != mate)
        .collect();
    {
        let mut network = world.network.lock();
        network.isolate(old, majority.iter().copied());
        network.isolate(mate, majority.iter().copied());
    }
    let lost = world.propose(old);
    for _ in 0..4 * ELECTION_TICKS {
        world.round();
        assert!(!world.has(old, &lost) && !world.has(mate, &lost));
    }
    assert!(!world.node(old).status().is_leader, "no quorum answers it");
    assert_eq!(world.node(old).status().leader, 0);
    let new = world.leader().expect("the majority has a leader");
    assert!(majority.contains(&new));
    let kept = world.put(new);

    world.network.lock().heal();
    world.elect();
    world.agree();
    assert!(
        world
            .ids()
            .iter()
            .all(|id| world.has(*id, &kept) && !world.has(*id, &lost))
    );
}

#[test]
fn a_member_that_comes_back_from_a_partition_does_not_depose_the_leader() {
    let mut world = world(3);
    let leader = world.elect();
    let away = others(&world, leader)[0];
    let term = world.node(leader).status().term;
    world.network.lock().isolate(away, 1..=3);
    for _ in 0..10 * ELECTION_TICKS {
        world.round();
    }
    world.network.lock().heal();
    for _ in 0..3 * ELECTION_TICKS {
        world.round();
    }
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(
        world.node(leader).status().term,
        term,
        "pre-votes asked first"
    );
}

#[test]
fn a_leader_that_cannot_be_heard_is_replaced() {
    let mut world = world(3);
    let old = world.elect();
    for other in others(&world, old) {
        world.network.lock().cut_one_way(old, other);
    }
    world.until("another leader", |w| w.leader().is_some_and(|l| l != old));
    let new = world.leader().unwrap();
    world.put(new);
    world.network.lock().heal();
    world.elect();
    world.agree();
}

#[test]
fn leadership_moves_to_the_member_of_choice_or_to_the_best() {
    let mut world = world(3);
    let first = world.elect();
    let target = others(&world, first)[1];
    let answer = transfer(&world, first, Some(target));
    world.round();
    assert_eq!(answer.try_recv().unwrap(), Ok(target));
    assert_eq!(world.elect(), target);

    // A follower passes the wish on.
    let back = transfer(&world, first, Some(first));
    world.round();
    assert_eq!(back.try_recv().unwrap(), Ok(first));

    // The member that lags is not the best.
    let lagging = others(&world, first)[0];
    world.network.lock().isolate(lagging, 1..=3);
    world.put(first);
    let answer = transfer(&world, first, None);
    world.round();
    let best = answer.try_recv().unwrap().unwrap();
    assert!(best != first && best != lagging);
}

#[test]
fn a_transfer_that_cannot_succeed_says_so_and_the_leader_goes_on() {
    let mut world = world(3);
    let leader = world.elect();
    assert_eq!(
        {
            let answer = transfer(&world, leader, Some(99));
            world.round();
            answer.try_recv().unwrap()
        },
        Err(RequestError::NoTransferee)
    );
    let dead = others(&world, leader)[0];
    world.kill(dead);
    let answer = transfer(&world, leader, Some(dead));
    for _ in 0..2 * ELECTION_TICKS {
        world.round();
    }
    assert_eq!(
        answer.try_recv().unwrap(),
        Err(RequestError::TransferTimedOut)
    );
    assert_eq!(world.leader(), Some(leader));
    world.put(leader);

    let mut alone = World::new(1, Settings::default());
    alone.elect();
    let answer = transfer(&alone, 1, None);
    alone.round();
    assert_eq!(answer.try_recv().unwrap(), Err(RequestError::NoTransferee));
}

/// A leader that hands over takes no proposals. Its own are dropped and it says so; what a follower has
/// passed on is gone, with the leader and the term the same as before: whoever waits has to stop by a
/// clock, as clients of etcd do.
#[test]
fn a_proposal_passed_on_to_a_leader_that_hands_over_is_lost_without_a_sign() {
    let mut world = world(3);
    let leader = world.elect();
    let [target, follower] = others(&world, leader)[..] else {
        panic!("three members");
    };
    let term = world.node(leader).status().term;
    world.network.lock().isolate(target, [leader, follower]);
    let answer = transfer(&world, leader, Some(target));
    world.settle(&[]);
    let passed_on = world.propose(follower);
    let own = world.propose(leader);
    for _ in 0..2 * ELECTION_TICKS {
        world.round();
    }
    assert_eq!(
        answer.try_recv().unwrap(),
        Err(RequestError::TransferTimedOut)
    );
    for id in [leader, follower] {
        assert!(!world.has(id, &passed_on) && !world.has(id, &own));
        assert_eq!(world.node(id).status().term, term);
        assert_eq!(world.node(id).status().leader, leader);
    }
    assert_eq!(world.running(leader).told.lock().dropped.len(), 1);
    assert!(world.running(follower).told.lock().dropped.is_empty());
    // Both are taken again.
    world.put(leader);
    world.put(follower);
    world.network.lock().heal();
    world.agree();
}

#[test]
fn a_leader_whose_disk_hangs_hands_over() {
    let mut world = world(3);
    let old = world.elect();
    let stuck = world.propose(old);
    let held = [(old, Role::Wal)];
    for _ in 0..3 * ELECTION_TICKS {
        world.round_without(&held);
    }
    let new = world.leader().expect("somebody leads");
    assert_ne!(new, old, "the disk has not answered for three timeouts");
    // The others had it, and committed it without that disk.
    assert!(world.has(new, &stuck));
    // The disk comes back: nothing is lost and nobody is deposed.
    world.round();
    world.put(new);
    world.agree();
    assert_eq!(world.leader(), Some(new));
}

/// A leader forgets once an election timeout whom it has heard from: in each phase of that the hand-over
/// must find somebody.
#[test]
fn a_leader_whose_disk_hangs_hands_over_whenever_that_begins() {
    for phase in 0..=ELECTION_TICKS {
        let mut world = world(3);
        let old = world.elect();
        for _ in 0..phase {
            world.round();
        }
        world.propose(old);
        for _ in 0..3 * ELECTION_TICKS {
            world.round_without(&[(old, Role::Wal)]);
        }
        assert_ne!(
            world.leader(),
            Some(old),
            "{phase} ticks after its election"
        );
        world.round();
        world.agree();
    }
}

#[test]
fn without_the_stall_watch_a_leader_stays_while_its_disk_hangs() {
    let mut world = World::new(
        3,
        Settings {
            stalled_sync_timeouts: 0,
            ..Settings::default()
        },
    );
    let old = world.elect();
    world.propose(old);
    for _ in 0..5 * ELECTION_TICKS {
        world.round_without(&[(old, Role::Wal)]);
    }
    assert_eq!(world.leader(), Some(old), "its heartbeats go on");
}

#[test]
fn a_member_that_stood_still_takes_one_tick_and_leads_only_once_confirmed() {
    let mut world = world(3);
    let old = world.elect();
    world.round();
    assert!(world.node(old).is_leader_fresh());
    // Three seconds in which the whole process stands still and hears nothing, and others elect.
    world.network.lock().isolate(old, 1..=3);
    let held: Vec<_> = Role::ALL.iter().map(|r| (old, *r)).collect();
    for _ in 0..3 * ELECTION_TICKS {
        world.round_without(&held);
    }
    assert!(
        !world.node(old).is_leader_fresh(),
        "its last tick is long ago"
    );
    let new = world.leader().unwrap();
    assert_ne!(new, old);
    // It wakes up and hears nobody: it has ticked, but nobody has confirmed that it leads.
    world.network.lock().isolate(old, 1..=3);
    world.step(old, Role::Raft);
    assert!(
        world.node(old).status().is_leader,
        "it does not know better"
    );
    assert!(!world.node(old).is_leader_fresh());
    assert_eq!(world.running(old).told.lock().late_heartbeats, 1);
    world.network.lock().heal();
    world.until("it follows", |w| w.node(old).status().leader == new);
    assert!(world.node(new).is_leader_fresh());
}

/// A leader without an entry of its own term does not know what its predecessors committed: found by the
/// simulator, as a lease that was renewed although its end stood in the log.
#[test]
fn a_leader_is_fresh_only_once_it_has_applied_an_entry_of_its_own_term() {
    let mut world = world(3);
    let first = world.elect();
    world.put(first);
    world.kill(first);
    // Elected, and nobody applies: the entry of its term, and perhaps others, are only in the log.
    let rest = world.alive();
    let held: Vec<_> = rest.iter().map(|id| (*id, Role::Apply)).collect();
    for _ in 0..4 * ELECTION_TICKS {
        world.round_without(&held);
        if world.leader().is_some() {
            break;
        }
    }
    let next = world.leader().unwrap();
    assert!(!world.node(next).is_leader_fresh());
    world.round();
    assert!(world.node(next).is_leader_fresh());
}

#[test]
fn a_leader_that_stood_still_and_still_leads_is_fresh_again() {
    let mut world = world(3);
    let leader = world.elect();
    let held: Vec<_> = Role::ALL.iter().map(|r| (leader, *r)).collect();
    // Not long enough for an election, which takes an election timeout of silence at least.
    world.settle(&[]);
    for id in world.alive() {
        let slot = world.slots.get_mut(&id).unwrap();
        let stepper = &mut slot.running.as_mut().unwrap().stepper;
        stepper.advance(super::world::TICK * 15);
    }
    world.step(leader, Role::Raft);
    assert!(!world.node(leader).is_leader_fresh());
    world.settle(&held[..0]);
    assert_eq!(world.leader(), Some(leader));
    assert!(
        world.node(leader).is_leader_fresh(),
        "a quorum confirmed it"
    );
}

#[test]
fn proposals_without_a_leader_wait_for_one() {
    let mut world = world(3);
    let data = world.propose(2);
    world.elect();
    world.until("it is applied", |w| w.has(2, &data));
}

#[test]
fn a_proposal_for_one_term_enters_the_log_only_in_that_term() {
    let mut world = world(3);
    let leader = world.elect();
    let term = world.node(leader).status().term;
    let follower = others(&world, leader)[0];
    let propose = |world: &mut World, at: u64, term: u64| {
        let (name, data) = world.name();
        world
            .node(at)
            .propose_in_term(name, data.clone(), term)
            .unwrap();
        world.round();
        world.round();
        let dropped = world.running(at).told.lock().dropped.contains(&name);
        assert_ne!(world.has(at, &data), dropped);
        !dropped
    };
    assert!(propose(&mut world, leader, term));
    assert!(!propose(&mut world, leader, term - 1));
    assert!(!propose(&mut world, leader, term + 1));
    assert!(!propose(&mut world, follower, term));
}

#[test]
fn a_clean_stop_loses_nothing_that_was_handed_to_the_disk() {
    let mut world = world(3);
    let leader = world.elect();
    for _ in 0..10 {
        world.put(leader);
    }
    // Stopped in the middle of its work, with appends that no thread has written.
    world.propose(leader);
    world.step(leader, Role::Raft);
    world.node(leader).stop();
    world.step(leader, Role::Raft);
    assert!(!world.running(leader).stepper.is_alive());
    assert_eq!(world.failure(leader), None);
    world.elect();
    world.start(leader).unwrap();
    world.elect();
    world.agree();
    assert!(world.history.len() >= 10);
}
