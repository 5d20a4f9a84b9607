//! Changes of membership.
use varve_proto::raftpb::ConfChangeType::{
    ConfChangeAddLearnerNode, ConfChangeAddNode, ConfChangeRemoveNode,
};

use super::world::{ELECTION_TICKS, Settings, World, description, open_disk};

#[test]
fn a_member_joins_as_learner_becomes_a_voter_and_replaces_another() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    for _ in 0..10 {
        world.put(leader);
    }
    world.add_slot(4);
    world.start(4).unwrap();
    world.change(leader, ConfChangeAddLearnerNode, 4);
    world.until("the learner has everything", |w| {
        w.applied(4) == w.applied(leader)
    });
    world.until("it knows what it is", |w| w.node(4).status().is_learner);
    world.change(leader, ConfChangeAddNode, 4);
    world.until("it votes", |w| w.voters(4) == [1, 2, 3, 4]);
    let gone = (1..=3).find(|id| *id != leader).unwrap();
    world.change(leader, ConfChangeRemoveNode, gone);
    world.until("the other ended", |w| !w.alive().contains(&gone));
    assert!(world.running(gone).told.lock().removed);
    assert_eq!(
        world.failure(gone),
        None,
        "a removed member ends without an error"
    );
    world.kill(gone);
    // The new member counts: with one of the three dead a majority is left.
    let dead = (1..=3).find(|id| *id != leader && *id != gone).unwrap();
    world.kill(dead);
    world.put(leader);
    world.agree();
}

#[test]
fn a_joining_member_that_restarts_before_anything_arrived_still_joins() {
    let mut world = World::new(2, Settings::default());
    let leader = world.elect();
    world.add_slot(7);
    world.start(7).unwrap();
    for _ in 0..3 * ELECTION_TICKS {
        world.round();
    }
    assert_eq!(
        world.node(7).status().term,
        0,
        "it does not vote for itself"
    );
    world.kill(7);
    world.start(7).unwrap();
    world.change(leader, ConfChangeAddNode, 7);
    world.put(leader);
    world.until("it has everything", |w| w.applied(7) == w.applied(leader));
    assert_eq!(world.voters(7), [1, 2, 7]);
}

#[test]
fn one_member_grows_to_three_and_shrinks_to_one() {
    let mut world = World::new(1, Settings::default());
    world.elect();
    world.put(1);
    assert!(world.node(1).published().reads_are_linearizable());
    for id in [2, 3] {
        world.add_slot(id);
        world.start(id).unwrap();
        world.change(1, ConfChangeAddNode, id);
        world.until("it has joined", |w| w.voters(id).contains(&id));
        world.put(1);
    }
    assert!(!world.node(1).published().reads_are_linearizable());
    world.agree();
    // The leader removes itself: it goes on until the others know, then another leads.
    let leader = world.elect();
    world.change(leader, ConfChangeRemoveNode, leader);
    world.until("it ended", |w| !w.alive().contains(&leader));
    world.kill(leader);
    let next = world.elect();
    world.put(next);
    let last = world.alive().into_iter().find(|id| *id != next).unwrap();
    world.change(next, ConfChangeRemoveNode, last);
    world.until("it ended", |w| !w.alive().contains(&last));
    world.put(next);
    assert!(world.node(next).published().reads_are_linearizable());
}

#[test]
fn a_removed_member_that_starts_again_ends_again() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    let gone = (1..=3).find(|id| *id != leader).unwrap();
    world.change(leader, ConfChangeRemoveNode, gone);
    world.until("it ended", |w| !w.alive().contains(&gone));
    world.start(gone).unwrap();
    world.until("it ended again", |w| !w.alive().contains(&gone));
    assert!(world.running(gone).told.lock().removed);
    world.put(leader);
}

#[test]
fn two_changes_at_once_do_not_both_take_effect() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    world.change(leader, ConfChangeAddLearnerNode, 8);
    world.change(leader, ConfChangeAddLearnerNode, 9);
    for _ in 0..5 {
        world.round();
    }
    assert_eq!(world.running(leader).conf_state.lock().learners, [8]);
}

#[test]
fn what_one_member_has_becomes_a_cluster_of_its_own_by_force() {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    for _ in 0..10 {
        world.put(leader);
    }
    world.agree();
    for id in world.ids() {
        world.kill(id);
    }
    let mut boot = open_disk(&world.slots[&2].fs);
    let removed = boot.force_new_cluster(&description(2)).unwrap();
    assert_eq!(removed.into_iter().collect::<Vec<_>>(), [1, 3]);
    world.run(2, boot).unwrap();
    world.elect();
    world.put(2);
    assert_eq!(world.voters(2), [2]);
    assert_eq!(world.running(2).content.lock().entries.len(), 11);
    // And it stays that way.
    world.kill(2);
    world.start(2).unwrap();
    world.elect();
    world.put(2);
    assert_eq!(world.running(2).content.lock().entries.len(), 12);
}
