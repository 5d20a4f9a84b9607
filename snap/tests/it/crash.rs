//! Losing power, or an operation, anywhere in a save.
use varve_snap::Snapshotter;
use varve_vfs::{CrashRule, Fault};

use crate::dir::{fresh, recorded, snapshot};

#[test]
fn a_crash_anywhere_leaves_the_new_snapshot_whole_or_the_old_one() {
    let (old, new) = (snapshot(1, 10), snapshot(1, 20));
    let known = recorded(&[old.clone(), new.clone()]);
    for k in 0.. {
        let (sim, snapshotter) = fresh();
        snapshotter.save(&old).unwrap();
        sim.fail_at(sim.op_count() + k, Fault::Crash);
        let saved = snapshotter.save(&new);
        for rule in CrashRule::ALL {
            for seed in 0..32 {
                let image = sim.crash_image(rule, seed);
                let after = Snapshotter::new(image.shared(), snapshotter.dir());
                let removed = after.clean_leftovers().unwrap();
                let found = after.load_newest_valid(&known).unwrap().unwrap();
                let lost = found == old;
                assert!(lost || found == new);
                assert!(
                    saved.is_err() || !lost,
                    "crash at {k}, {rule:?}, seed {seed}"
                );
                assert!(saved.is_err() || removed.is_empty());
                after.save(&new).unwrap();
                assert_eq!(after.load_newest_valid(&known).unwrap().unwrap(), new);
            }
        }
        if saved.is_ok() {
            assert_eq!(k, 5, "create, write, sync, rename, sync of the directory");
            break;
        }
    }
}

#[test]
fn a_failed_save_says_so_and_harms_no_older_snapshot() {
    let (old, new) = (snapshot(1, 10), snapshot(1, 20));
    for fault in [Fault::Eio, Fault::Enospc] {
        for k in 0..5 {
            let (sim, snapshotter) = fresh();
            snapshotter.save(&old).unwrap();
            sim.fail_at(sim.op_count() + k, fault);
            assert!(!snapshotter.save(&new).unwrap_err().is_corruption());
            let known = recorded(std::slice::from_ref(&old));
            assert_eq!(snapshotter.load_newest_valid(&known).unwrap().unwrap(), old);
            snapshotter.save(&new).unwrap();
        }
    }
}
