//! `durable` under a crash or a fault at every operation.
use std::path::Path;

use varve_vfs::{CrashRule, Fault, Fs, SimFs, durable};

const FILE: &str = "/dir/state";

/// A disk with `old` durable behind the name.
fn prepared(old: &[u8]) -> SimFs {
    let sim = SimFs::new();
    sim.create_dir_all(Path::new("/dir"), 0o700).unwrap();
    durable::write_file(&sim, Path::new(FILE), old, 0o600).unwrap();
    sim.sync_everything();
    sim
}

#[test]
fn a_crash_anywhere_in_a_durable_write_leaves_the_old_bytes_or_the_new() {
    let (old, new) = (vec![1; 3000], vec![2; 5000]);
    let mut finished = false;
    for k in 0.. {
        let sim = prepared(&old);
        sim.fail_at(sim.op_count() + k, Fault::Crash);
        let outcome = durable::write_file(&sim, Path::new(FILE), &new, 0o600);
        for rule in CrashRule::ALL {
            for seed in 0..32 {
                let found = sim.crash_image(rule, seed).read(Path::new(FILE)).unwrap();
                assert!(
                    found == new || (outcome.is_err() && found == old),
                    "{k} {rule:?} {seed}"
                );
            }
        }
        if outcome.is_ok() {
            finished = true;
            break;
        }
    }
    assert!(finished);
}

#[test]
fn a_failed_durable_write_reports_it_and_leaves_the_old_bytes_or_the_new() {
    let (old, new) = (vec![1; 3000], vec![2; 5000]);
    for fault in [Fault::Eio, Fault::Enospc] {
        for k in 0..5 {
            let sim = prepared(&old);
            sim.fail_at(sim.op_count() + k, fault);
            durable::write_file(&sim, Path::new(FILE), &new, 0o600).unwrap_err();
            let found = sim.read(Path::new(FILE)).unwrap();
            // Only when the last step, syncing the directory, failed is the new name in place.
            assert_eq!(
                found,
                if k == 4 { &*new } else { &*old },
                "{fault:?} at {k}"
            );
        }
    }
}

#[test]
fn a_short_write_is_carried_on() {
    let sim = prepared(b"old");
    sim.fail_at(sim.op_count() + 1, Fault::ShortWrite);
    durable::write_file(&sim, Path::new(FILE), b"new bytes", 0o600).unwrap();
    assert_eq!(sim.read(Path::new(FILE)).unwrap(), b"new bytes");
}

#[test]
fn directories_made_durably_survive_with_all_their_parents() {
    let sim = SimFs::new();
    durable::create_dir_all(&sim, Path::new("/x/y/z"), 0o700).unwrap();
    for rule in CrashRule::ALL {
        assert!(
            sim.crash_image(rule, 7)
                .exists(Path::new("/x/y/z"))
                .unwrap()
        );
    }
    let before = sim.op_count();
    durable::create_dir_all(&sim, Path::new("/x/y/z"), 0o700).unwrap();
    assert_eq!(sim.op_count(), before, "what exists costs nothing");
}
