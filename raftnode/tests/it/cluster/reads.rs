//! Linearizable reads: an index that covers everything acknowledged before, or none.
use std::sync::mpsc::{Receiver, channel};

use varve_raftnode::{RequestError, Role};

use super::world::{Settings, World};

fn read(world: &World, at: u64) -> Receiver<Result<u64, RequestError>> {
    let (done, answer) = channel();
    let done = Box::new(move |index| {
        let _gone = done.send(index);
    });
    world.node(at).read_index(done).unwrap();
    answer
}

fn follower_of(world: &World, leader: u64) -> u64 {
    world.alive().into_iter().find(|id| *id != leader).unwrap()
}

#[test]
fn a_read_on_any_member_covers_what_was_acknowledged_before() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    for _ in 0..10 {
        world.put(leader);
        let acknowledged = *world.history.keys().last().unwrap();
        let answers: Vec<_> = world.ids().iter().map(|id| read(&world, *id)).collect();
        world.settle(&[]);
        for answer in answers {
            assert!(answer.try_recv().unwrap().unwrap() >= acknowledged);
        }
    }
}

#[test]
fn reads_that_wait_together_share_a_round_and_rounds_overlap() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    world.put(leader);
    world.settle(&[]);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.extend((0..50).map(|_| read(&world, leader)));
        world.step(leader, Role::Raft);
    }
    let heartbeats = world.network.lock().packets.len();
    assert_eq!(heartbeats, 6, "three rounds to two members each");
    world.settle(&[]);
    assert!(answers.iter().all(|a| a.try_recv().unwrap().is_ok()));
}

#[test]
fn a_round_whose_messages_are_lost_is_repeated() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    let follower = follower_of(&world, leader);
    world.put(follower);
    world.settle(&[]);
    let answer = read(&world, follower);
    world.step(follower, Role::Raft);
    world.network.lock().packets.clear();
    for _ in 0..4 {
        world.round();
        assert!(answer.try_recv().is_err());
    }
    world.round();
    world.round();
    assert!(answer.try_recv().unwrap().is_ok());
}

#[test]
fn reads_fail_when_the_leader_changes_and_wait_while_there_is_none() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    let follower = follower_of(&world, leader);
    world.network.lock().isolate(leader, 1..=3);
    let at_old = read(&world, leader);
    let at_follower = read(&world, follower);
    world.until("another leader", |w| {
        w.leader().is_some_and(|l| l != leader)
    });
    world.until("the old one steps down", |w| {
        w.node(leader).status().leader == 0
    });
    assert_eq!(at_old.try_recv().unwrap(), Err(RequestError::LeaderChanged));
    assert_eq!(
        at_follower.try_recv().unwrap(),
        Err(RequestError::LeaderChanged)
    );
    // The old leader knows of none: what it is asked for now waits for one.
    let waiting = read(&world, leader);
    world.round();
    assert!(waiting.try_recv().is_err());
    world.network.lock().heal();
    world.until("the read is answered", |_| match waiting.try_recv() {
        Ok(answer) => {
            answer.unwrap();
            true
        }
        Err(_) => false,
    });
}

#[test]
fn a_deposed_leader_that_has_not_heard_of_it_answers_no_read() {
    let mut world = World::new(3, Settings::default());
    let old = world.elect();
    world.put(old);
    let held: Vec<_> = Role::ALL.iter().map(|r| (old, *r)).collect();
    for _ in 0..30 {
        world.round_without(&held);
    }
    let new = world.leader().unwrap();
    assert_ne!(new, old);
    let (name, data) = world.name();
    world.node(new).propose(name, data.clone()).unwrap();
    for _ in 0..3 {
        world.round_without(&held);
    }
    assert!(world.has(new, &data));
    // It wakes up, still believes that it leads, and is asked.
    assert!(world.node(old).status().is_leader);
    assert!(!world.node(old).published().reads_are_linearizable());
    let answer = read(&world, old);
    world.step(old, Role::Raft);
    world.settle(&[]);
    let answer = answer
        .try_recv()
        .expect("it hears of the new leader and says so");
    assert_eq!(answer, Err(RequestError::LeaderChanged));
}
