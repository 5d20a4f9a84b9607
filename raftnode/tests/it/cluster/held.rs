//! The news of a commit that waits for a message to ride along with, and for whom it does not.
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use varve_proto::raftpb::{ConfChangeType, MessageType};
use varve_raftnode::Role;
use varve_vfs::{DynFs, SimFs};

use super::threads::{Switchboard, node, read, start_ticking, stop, wait};
use super::world::{Settings, World};

const DELAY: Duration = Duration::from_millis(1);

/// A cluster of three at rest, its leader, and the others.
fn at_rest() -> (World, u64, Vec<u64>) {
    let settings = Settings {
        commit_delay: DELAY,
        ..Settings::default()
    };
    let mut world = World::new(3, settings);
    let leader = world.elect();
    world.put(leader);
    world.round();
    let others = world.ids().into_iter().filter(|id| *id != leader);
    let others = others.collect();
    (world, leader, others)
}

/// Has everybody work, without time passing; the commit indexes that left in appends without entries.
fn settle(world: &mut World) -> Vec<(u64, u64)> {
    let mut news = Vec::new();
    for _ in 0..100 {
        let mut worked = false;
        for id in world.alive() {
            for role in Role::ALL {
                if world.running(id).stepper.has_work(role) {
                    world.step(id, role);
                    worked = true;
                }
            }
        }
        let packets = std::mem::take(&mut world.network.lock().packets);
        if packets.is_empty() && !worked {
            return news;
        }
        for packet in packets {
            let m = &packet.message;
            if m.r#type == MessageType::MsgApp as i32 && m.entries.is_empty() {
                news.push((m.to, m.commit));
            }
            world.deliver(packet);
        }
    }
    panic!("the members do not come to rest");
}

fn advance(world: &mut World, id: u64, by: Duration) {
    let slot = world.slots.get_mut(&id).unwrap();
    slot.running.as_mut().unwrap().stepper.advance(by);
}

fn commits(world: &World) -> Vec<u64> {
    let ids = world.ids();
    ids.iter().map(|id| world.applied(*id)).collect()
}

fn alike(leader: u64, at_leader: u64, elsewhere: u64) -> Vec<u64> {
    let of = |id| if id == leader { at_leader } else { elsewhere };
    (1..=3).map(of).collect()
}

#[test]
fn the_next_append_carries_the_commit_of_a_put_that_was_alone() {
    let (mut world, leader, _) = at_rest();
    let before = world.applied(leader);
    for n in 1..=5 {
        world.propose(leader);
        assert_eq!(settle(&mut world), []);
        assert_eq!(
            commits(&world),
            alike(leader, before + n, before + n - 1),
            "followers learn of one with the next"
        );
        advance(&mut world, leader, DELAY / 2);
    }
}

#[test]
fn nothing_follows_and_the_commit_leaves_when_its_time_is_over() {
    let (mut world, leader, others) = at_rest();
    let last = world.applied(leader) + 1;
    world.propose(leader);
    assert_eq!(settle(&mut world), []);
    let has_work = |world: &World| world.running(leader).stepper.has_work(Role::Raft);
    advance(&mut world, leader, DELAY / 2);
    assert!(!has_work(&world));
    assert_eq!(settle(&mut world), []);
    advance(&mut world, leader, DELAY / 2);
    assert!(has_work(&world));
    let news: Vec<_> = others.iter().map(|id| (*id, last)).collect();
    assert_eq!(settle(&mut world), news);
    assert!(!has_work(&world), "it is said once");
    assert_eq!(commits(&world), [last; 3]);
}

#[test]
fn a_member_that_passed_a_proposal_on_learns_at_once() {
    let (mut world, leader, others) = at_rest();
    for n in 1..=3 {
        let last = world.applied(leader) + 1;
        world.propose(others[0]);
        assert_eq!(settle(&mut world), [(others[0], last)], "{n}");
        assert_eq!(world.applied(others[0]), last);
        assert_eq!(world.applied(others[1]), last - 1);
    }
    // Then it does not wait for anything.
    world.propose(leader);
    assert_eq!(settle(&mut world), []);
}

#[test]
fn a_read_at_a_follower_does_not_wait_for_the_time_to_be_over() {
    let (mut world, leader, others) = at_rest();
    for _ in 0..3 {
        let last = world.applied(leader) + 1;
        world.propose(leader);
        assert_eq!(settle(&mut world), []);
        let (done, answer) = channel();
        let done = Box::new(move |index| {
            let _gone = done.send(index);
        });
        world.node(others[0]).read_index(done).unwrap();
        assert_eq!(settle(&mut world), [], "the heartbeats of the round say it");
        assert_eq!(answer.try_recv(), Ok(Ok(last)));
        assert_eq!(commits(&world), [last; 3]);
    }
}

#[test]
fn a_follower_whose_answer_is_still_on_its_way_is_told_before_its_read_is_answered() {
    let (mut world, leader, others) = at_rest();
    let last = world.applied(leader) + 1;
    // The leader does not hear that this one has the entry: a heartbeat could not tell it of the commit.
    world.network.lock().cut_one_way(others[0], leader);
    world.propose(leader);
    assert_eq!(settle(&mut world), []);
    world.network.lock().heal();
    let (done, answer) = channel();
    let done = Box::new(move |index| {
        let _gone = done.send(index);
    });
    world.node(others[0]).read_index(done).unwrap();
    let news = settle(&mut world);
    assert!(news.contains(&(others[0], last)), "{news:?}");
    assert_eq!(answer.try_recv(), Ok(Ok(last)));
    assert_eq!(world.applied(others[0]), last);
}

#[test]
fn conf_changes_and_several_entries_at_once_are_told_at_once() {
    let (mut world, leader, others) = at_rest();
    world.change(leader, ConfChangeType::ConfChangeUpdateNode, others[0]);
    let last = world.applied(leader) + 1;
    let news: Vec<_> = others.iter().map(|id| (*id, last)).collect();
    assert_eq!(settle(&mut world), news);
    assert_eq!(commits(&world), [last; 3]);

    for _ in 0..2 {
        world.propose(leader);
    }
    let news: Vec<_> = others.iter().map(|id| (*id, last + 2)).collect();
    assert_eq!(settle(&mut world), news);
    assert_eq!(commits(&world), [last + 2; 3]);
}

#[test]
fn a_leader_that_stops_or_is_replaced_keeps_nothing_back() {
    for stops in [true, false] {
        let (mut world, leader, others) = at_rest();
        let last = world.applied(leader) + 1;
        world.propose(leader);
        assert_eq!(settle(&mut world), []);
        if stops {
            world.node(leader).stop();
        } else {
            let done = Box::new(|_| {});
            let to = Some(others[0]);
            world.node(leader).transfer_leader(to, done).unwrap();
        }
        settle(&mut world);
        for id in &others {
            assert!(world.applied(*id) >= last, "stops: {stops}");
        }
        if !stops {
            assert_eq!(world.leader(), Some(others[0]));
            world.agree();
        }
    }
}

/// With threads: the one that sleeps is told that there is something to leave before the next tick.
#[test]
fn followers_learn_of_a_last_put_long_before_the_next_heartbeat() {
    let tick = Duration::from_millis(500);
    let board = Arc::new(Switchboard::default());
    for id in 1..=3 {
        let fs: DynFs = SimFs::new().shared();
        start_ticking(&board, id, &fs, true, tick);
    }
    let index = read(&board, 1);
    let leader = node(&board, 1).status().leader;
    let began = Instant::now();
    for n in 1..=10 {
        node(&board, leader)
            .propose(n, Bytes::from(format!("{n:020}")))
            .unwrap();
        for id in 1..=3 {
            wait(&board, id, index + n);
        }
    }
    // Were heartbeats what tells them, each but the first would take a tick.
    let took = began.elapsed();
    assert!(took < 9 * tick, "{took:?}");
    stop(&board);
}
