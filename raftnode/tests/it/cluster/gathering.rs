//! What a leader does with proposals while its log is being written, and what needs no write.
use varve_proto::raftpb::{Message, MessageType};
use varve_raftnode::Role;

use super::world::{Settings, TICK, World};

/// Payloads in the appends that were sent and not delivered, by receiver and in order.
fn sent(world: &World) -> Vec<(u64, Vec<usize>)> {
    let network = world.network.lock();
    let appends = network.packets.iter().map(|packet| &packet.message);
    appends
        .filter(|m| m.r#type == MessageType::MsgApp as i32)
        .map(|m| {
            let lens = m.entries.iter().map(|e| e.data.as_ref().unwrap().len());
            (m.to, lens.collect())
        })
        .collect()
}

fn propose(world: &mut World, at: u64, len: usize) {
    let (name, _) = world.name();
    world.node(at).propose(name, vec![7; len].into()).unwrap();
    world.step(at, Role::Raft);
}

/// A cluster of three at rest, its leader, and the others.
fn at_rest() -> (World, u64, Vec<u64>) {
    let mut world = World::new(3, Settings::default());
    let leader = world.elect();
    world.put(leader);
    world.settle(&[]);
    let others = world.ids().into_iter().filter(|id| *id != leader);
    let others = others.collect();
    (world, leader, others)
}

#[test]
fn proposals_that_come_while_the_leader_writes_are_one_append_and_reads_do_not_wait() {
    let (mut world, leader, others) = at_rest();
    propose(&mut world, leader, 1);
    let first: Vec<_> = others.iter().map(|id| (*id, vec![1])).collect();
    assert_eq!(sent(&world), first);
    propose(&mut world, leader, 2);
    propose(&mut world, leader, 3);
    assert_eq!(sent(&world), first, "both are gathered");

    let before = world.network.lock().packets.len();
    world.node(leader).read_index(Box::new(|_| {})).unwrap();
    world.step(leader, Role::Raft);
    let heartbeats = world.network.lock().packets.len() - before;
    assert_eq!((heartbeats, sent(&world)), (2, first.clone()));

    world.step(leader, Role::Wal);
    world.step(leader, Role::Raft);
    let second = others.iter().map(|id| (*id, vec![2, 3]));
    assert_eq!(
        sent(&world),
        first.into_iter().chain(second).collect::<Vec<_>>()
    );
    world.settle(&[]);
    world.agree();
}

#[test]
fn a_proposal_that_is_alone_does_not_wait_for_the_leaders_disk() {
    let (mut world, leader, others) = at_rest();
    propose(&mut world, leader, 1);
    // The others commit it.
    world.settle(&[(leader, Role::Wal)]);
    propose(&mut world, leader, 2);
    let now: Vec<_> = others.iter().map(|id| (*id, vec![2])).collect();
    assert_eq!(sent(&world), now);
}

#[test]
fn nothing_is_gathered_for_a_disk_that_does_not_answer() {
    let (mut world, leader, others) = at_rest();
    propose(&mut world, leader, 1);
    propose(&mut world, leader, 2);
    world.network.lock().packets.clear();
    for tick in 1..=2 {
        assert!(sent(&world).is_empty(), "before tick {tick}");
        let slot = world.slots.get_mut(&leader).unwrap();
        slot.running.as_mut().unwrap().stepper.advance(TICK);
        world.step(leader, Role::Raft);
    }
    let now: Vec<_> = others.iter().map(|id| (*id, vec![2])).collect();
    assert_eq!(sent(&world), now);
}

#[test]
fn more_than_an_append_holds_is_not_gathered() {
    let (mut world, leader, others) = at_rest();
    propose(&mut world, leader, 1);
    world.network.lock().packets.clear();
    propose(&mut world, leader, 1 << 20);
    assert!(sent(&world).is_empty());
    propose(&mut world, leader, 2);
    // An append holds no more; the rest follows the answers.
    let now: Vec<_> = others.iter().map(|id| (*id, vec![1 << 20])).collect();
    assert_eq!(sent(&world), now);
    world.settle(&[]);
    world.agree();
}

/// An append without entries behind the last entry of a cluster at rest.
fn empty(world: &World, leader: u64, to: u64, index: u64) -> Message {
    let status = world.node(leader).status();
    Message {
        r#type: MessageType::MsgApp as i32,
        from: leader,
        to,
        term: status.term,
        log_term: status.term,
        index,
        commit: status.commit,
        ..Message::default()
    }
}

fn answers(world: &World) -> Vec<u64> {
    let network = world.network.lock();
    let answers = network.packets.iter().map(|packet| &packet.message);
    let answers = answers.filter(|m| m.r#type == MessageType::MsgAppResp as i32);
    answers.map(|m| m.index).collect()
}

#[test]
fn an_append_without_entries_is_answered_at_once_unless_something_is_being_written() {
    let (mut world, leader, others) = at_rest();
    let follower = others[0];
    let last = world.node(leader).status().commit;
    // In its new life it has not said anything.
    world.kill(follower);
    world.start(follower).unwrap();
    world.settle(&[]);
    world.network.lock().packets.clear();
    let probe = empty(&world, leader, follower, last);
    world.node(follower).receive(probe).unwrap();
    world.step(follower, Role::Raft);
    assert_eq!(answers(&world), [last]);
    assert!(!world.running(follower).stepper.has_work(Role::Wal));

    // It is writing the next entry: an answer would vouch for that.
    world.network.lock().packets.clear();
    propose(&mut world, leader, 1);
    let packets = std::mem::take(&mut world.network.lock().packets);
    for packet in packets.into_iter().filter(|p| p.message.to == follower) {
        world.deliver(packet);
    }
    world.step(follower, Role::Raft);
    let probe = empty(&world, leader, follower, last + 1);
    world.node(follower).receive(probe).unwrap();
    world.step(follower, Role::Raft);
    assert!(answers(&world).is_empty());
    world.step(follower, Role::Wal);
    world.step(follower, Role::Raft);
    assert_eq!(answers(&world), [last + 1]);
}

#[test]
fn an_answer_that_repeats_the_last_one_waits_for_the_next_or_for_a_tick() {
    let (mut world, leader, others) = at_rest();
    let follower = others[0];
    let last = world.node(leader).status().commit;
    let probe = empty(&world, leader, follower, last);
    world.node(follower).receive(probe.clone()).unwrap();
    world.step(follower, Role::Raft);
    assert!(answers(&world).is_empty());
    let tick = |world: &mut World| {
        let slot = world.slots.get_mut(&follower).unwrap();
        slot.running.as_mut().unwrap().stepper.advance(TICK);
        world.step(follower, Role::Raft);
    };
    tick(&mut world);
    assert_eq!(answers(&world), [last]);

    world.network.lock().packets.clear();
    world.node(follower).receive(probe).unwrap();
    world.step(follower, Role::Raft);
    propose(&mut world, leader, 1);
    world.settle(&[(leader, Role::Raft)]);
    tick(&mut world);
    assert!(
        answers(&world).is_empty(),
        "the answer to the entry said more"
    );
}
