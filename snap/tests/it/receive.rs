//! Databases received with a snapshot.
use varve_snap::Snapshotter;
use varve_vfs::{CrashRule, Fault};

use crate::dir::fresh;

const INDEX: u64 = 0x1234;
const PIECES: [&[u8]; 3] = [b"first piece, ", b"", b"second piece"];

fn receive(snapshotter: &Snapshotter) -> Result<(), varve_snap::Error> {
    let mut receiver = snapshotter.receive_db(INDEX)?;
    for piece in PIECES {
        receiver.write(piece)?;
    }
    assert_eq!(receiver.len_bytes(), PIECES.concat().len() as u64);
    let path = receiver.commit()?;
    assert_eq!(path, snapshotter.db_path(INDEX));
    Ok(())
}

#[test]
fn a_received_database_stands_whole_under_its_index() {
    let (sim, snapshotter) = fresh();
    receive(&snapshotter).unwrap();
    let found = sim.shared().read(&snapshotter.db_path(INDEX)).unwrap();
    assert_eq!(found, PIECES.concat());
    assert!(snapshotter.clean_leftovers().unwrap().is_empty());
}

#[test]
fn a_database_that_is_there_is_kept_and_the_second_one_goes() {
    let (sim, snapshotter) = fresh();
    receive(&snapshotter).unwrap();
    let mut second = snapshotter.receive_db(INDEX).unwrap();
    second.write(b"other bytes").unwrap();
    second.commit().unwrap();
    let found = sim.shared().read(&snapshotter.db_path(INDEX)).unwrap();
    assert_eq!(found, PIECES.concat());
    assert!(snapshotter.clean_leftovers().unwrap().is_empty());
}

#[test]
fn transfers_at_the_same_time_do_not_mix() {
    let (sim, snapshotter) = fresh();
    let mut one = snapshotter.receive_db(INDEX).unwrap();
    let mut two = snapshotter.receive_db(INDEX).unwrap();
    one.write(b"1111").unwrap();
    two.write(b"2222").unwrap();
    one.write(b"1111").unwrap();
    drop(two);
    one.commit().unwrap();
    let found = sim.shared().read(&snapshotter.db_path(INDEX)).unwrap();
    assert_eq!(found, b"11111111");
    assert!(snapshotter.clean_leftovers().unwrap().is_empty());
}

#[test]
fn a_crash_anywhere_leaves_the_whole_database_or_none() {
    for k in 0.. {
        let (sim, snapshotter) = fresh();
        sim.fail_at(sim.op_count() + k, Fault::Crash);
        let committed = receive(&snapshotter).is_ok();
        for rule in CrashRule::ALL {
            for seed in 0..32 {
                let image = sim.crash_image(rule, seed);
                let after = Snapshotter::new(image.shared(), snapshotter.dir());
                after.clean_leftovers().unwrap();
                match image.shared().read(&after.db_path(INDEX)) {
                    Ok(found) => assert_eq!(found, PIECES.concat(), "crash at {k}, {rule:?}"),
                    Err(_) => assert!(!committed, "crash at {k}, {rule:?}, seed {seed}"),
                }
                receive(&after).unwrap();
            }
        }
        if committed {
            return;
        }
    }
}

#[test]
fn a_failed_write_is_told_and_leaves_nothing() {
    for fault in [Fault::Eio, Fault::Enospc] {
        for k in 0..5 {
            let (sim, snapshotter) = fresh();
            sim.fail_at(sim.op_count() + k, fault);
            if receive(&snapshotter).is_ok() {
                continue;
            }
            assert!(snapshotter.clean_leftovers().unwrap().is_empty());
            receive(&snapshotter).unwrap();
        }
    }
}
