//! A member that lags: from the log as long as the log has it, by a snapshot where it has not.
use varve_raftnode::Role;
use varve_vfs::{CrashRule, Fault, SimFs};

use super::world::{Settings, World};

/// Few entries between snapshots, and hardly any kept behind one.
fn thrifty() -> Settings {
    Settings {
        snapshot_count: 20,
        ..Settings::default()
    }
}

fn lag(world: &mut World, entries: usize) -> (u64, u64) {
    let leader = world.elect();
    let away = world.ids().into_iter().find(|id| *id != leader).unwrap();
    world.put(leader);
    let ids = world.ids();
    world.network.lock().isolate(away, ids);
    for _ in 0..entries {
        world.put(leader);
    }
    (leader, away)
}

#[test]
fn a_member_far_behind_gets_a_snapshot_and_then_the_log() {
    let mut world = World::new(3, thrifty());
    let (leader, away) = lag(&mut world, 100);
    let behind = world.applied(away);
    world.network.lock().heal();
    world.until("it has caught up", |w| w.applied(away) == w.applied(leader));
    assert!(world.applied(away) > behind + 90);
    assert!(world.network.lock().snapshots >= 1);
    world.put(leader);
    world.agree();
    assert_eq!(world.voters(away), [1, 2, 3]);
    // It starts from what it received.
    world.kill(away);
    world.start(away).unwrap();
    world.put(leader);
    world.agree();
}

#[test]
fn a_member_not_so_far_behind_gets_entries_that_left_memory_long_ago() {
    let settings = Settings {
        log_bytes: 500,
        ..Settings::default()
    };
    let mut world = World::new(3, settings);
    let (leader, away) = lag(&mut world, 300);
    // The log in memory is a few entries; with them all it would be a hundred times that.
    world.network.lock().heal();
    world.until("it has caught up", |w| w.applied(away) == w.applied(leader));
    assert_eq!(world.network.lock().snapshots, 0, "the log was enough");
    world.agree();
}

/// Snapshots come and go meanwhile: the segments that a lagging member may need stay all the same.
#[test]
fn the_log_on_disk_is_kept_as_far_back_as_members_may_lag() {
    let settings = Settings {
        snapshot_count: 20,
        catch_up_entries: 250,
        log_bytes: 500,
        ..Settings::default()
    };
    let mut world = World::new(3, settings);
    let (leader, away) = lag(&mut world, 200);
    assert!(world.running(leader).told.lock().snapshots_saved > 5);
    world.network.lock().heal();
    world.until("it has caught up", |w| w.applied(away) == w.applied(leader));
    assert_eq!(world.network.lock().snapshots, 0, "the log was enough");
    world.agree();
}

#[test]
fn a_new_member_of_an_old_cluster_begins_with_a_snapshot() {
    use varve_proto::raftpb::ConfChangeType::ConfChangeAddLearnerNode;
    let mut world = World::new(1, thrifty());
    world.elect();
    for _ in 0..50 {
        world.put(1);
    }
    world.add_slot(5);
    world.start(5).unwrap();
    world.change(1, ConfChangeAddLearnerNode, 5);
    world.until("it has everything", |w| w.applied(5) == w.applied(1));
    assert!(world.network.lock().snapshots >= 1);
    world.put(1);
    world.agree();
    assert!(world.node(5).status().is_learner);
}

#[test]
fn a_snapshot_that_is_lost_is_sent_again() {
    let mut world = World::new(3, thrifty());
    let (leader, away) = lag(&mut world, 60);
    world.network.lock().heal();
    // The first two do not arrive.
    for _ in 0..2 {
        let packet = loop {
            world.step(leader, Role::Apply);
            let mut network = world.network.lock();
            if let Some(at) = network.packets.iter().position(|p| p.database.is_some()) {
                break network.packets.remove(at).unwrap();
            }
            drop(network);
            // One step at a time, so that the packet is caught before it is delivered.
            let id_packets = std::mem::take(&mut world.network.lock().packets);
            for packet in id_packets {
                world.deliver(packet);
            }
            for id in world.alive() {
                for role in [Role::Raft, Role::Wal] {
                    world.step(id, role);
                }
                let slot = world.slots.get_mut(&id).unwrap();
                let stepper = &mut slot.running.as_mut().unwrap().stepper;
                stepper.advance(super::world::TICK / 4);
            }
        };
        world.lose(&packet);
    }
    let sent = world.network.lock().snapshots;
    assert_eq!(sent, 2);
    world.until("it has caught up", |w| w.applied(away) == w.applied(leader));
    world.agree();
}

#[test]
fn the_log_is_kept_while_a_snapshot_is_on_its_way() {
    let mut world = World::new(3, thrifty());
    let (leader, away) = lag(&mut world, 60);
    world.network.lock().heal();
    // The snapshot leaves and is on its way for long, while many more entries come.
    let mut on_its_way = None;
    for _ in 0..400 {
        if on_its_way.is_none() {
            world.step(leader, Role::Apply);
            let mut network = world.network.lock();
            let at = network.packets.iter().position(|p| p.database.is_some());
            on_its_way = at.and_then(|at| network.packets.remove(at));
        }
        if on_its_way.is_some() {
            break;
        }
        let packets = std::mem::take(&mut world.network.lock().packets);
        for packet in packets {
            world.deliver(packet);
        }
        for id in world.alive() {
            for role in [Role::Raft, Role::Wal] {
                world.step(id, role);
            }
            let slot = world.slots.get_mut(&id).unwrap();
            let stepper = &mut slot.running.as_mut().unwrap().stepper;
            stepper.advance(super::world::TICK / 4);
        }
    }
    let packet = on_its_way.expect("a snapshot leaves");
    let saved = world.running(leader).told.lock().snapshots_saved;
    for _ in 0..100 {
        world.put(leader);
    }
    assert!(world.running(leader).told.lock().snapshots_saved > saved + 2);
    world.deliver(packet);
    world.until("it has caught up", |w| w.applied(away) == w.applied(leader));
    assert_eq!(
        world.network.lock().snapshots,
        1,
        "the log continued the one it got"
    );
    world.agree();
}

/// The run that the crash test repeats: the same calls give the same operations.
fn receive(crash_at: Option<u64>) -> (World, u64, u64, u64) {
    let mut world = World::new(3, thrifty());
    let (leader, away) = lag(&mut world, 60);
    let disk = world.slots[&away].fs.clone();
    let before = disk.op_count();
    if let Some(at) = crash_at {
        disk.fail_at(before + at, Fault::Crash);
    }
    world.network.lock().heal();
    for _ in 0..15 {
        world.round();
    }
    let operations = disk.op_count() - before;
    (world, leader, away, operations)
}

#[test]
fn a_receiver_that_crashes_at_any_operation_boots_and_catches_up() {
    let (world, leader, away, operations) = receive(None);
    assert_eq!(world.applied(away), world.applied(leader));
    assert!(world.network.lock().snapshots >= 1);
    assert!(operations > 10, "{operations} operations");
    let rules = [
        CrashRule::LoseUnsynced,
        CrashRule::KeepAll,
        CrashRule::Subset,
        CrashRule::Torn,
    ];
    for at in 0..operations {
        for rule in rules {
            let (mut world, leader, away, _) = receive(Some(at));
            let crashed: &SimFs = &world.slots[&away].fs;
            assert!(crashed.is_crashed(), "operation {at} is reached");
            world.cut_power(away, rule, at);
            if let Err(error) = world.start(away) {
                panic!("crash at {at}, {rule:?}: does not boot: {error}");
            }
            world.put(leader);
            world.agree();
            assert_eq!(world.failure(away), None);
        }
    }
}
