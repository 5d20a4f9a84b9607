//! Operations that fail: the appender says so once and refuses everything after.
use varve_vfs::{CrashRule, Fault, SimFs};
use varve_wal::{Appender, Error, Result, Wal};

use crate::support::{METADATA, dir, entry, open, options, snapshot, state, zero};

const SAVES: u64 = 12;

/// Saves until one fails; how many did not.
fn save_all(log: &mut Appender) -> (u64, Result<()>) {
    for index in 1..=SAVES {
        let saved = log.save(Some(&state(1, index)), &[entry(1, index, 900)], true);
        if let Err(e) = saved {
            return (index - 1, Err(e));
        }
    }
    (SAVES, log.save_snapshot(&snapshot(1, SAVES)))
}

fn create(sim: &SimFs) -> Result<Appender> {
    Wal::create(&sim.shared(), dir(), METADATA, options())
}

#[test]
fn after_any_failed_operation_an_appender_refuses_everything_and_keeps_what_it_promised() {
    for fault in [Fault::Eio, Fault::Enospc] {
        let mut failures = 0;
        for k in 0.. {
            let sim = SimFs::new();
            let mut log = create(&sim).unwrap();
            sim.fail_at(sim.op_count() + k, fault);
            let (saved, outcome) = save_all(&mut log);
            let Err(e) = outcome else {
                break;
            };
            failures += 1;
            assert!(matches!(e, Error::Io { .. } | Error::IoAt { .. }), "{e}");
            let poisoned = |result: Result<()>| matches!(result, Err(Error::Poisoned { .. }));
            assert!(
                poisoned(log.save(None, &[entry(1, 99, 1)], true).map(drop)),
                "{fault:?} {k}"
            );
            assert!(poisoned(log.save_snapshot(&snapshot(1, 1))));
            assert!(poisoned(log.sync()));
            assert!(poisoned(log.release_to(1)));
            assert!(poisoned(log.close()));
            for rule in CrashRule::ALL {
                for seed in 0..8 {
                    let image = sim.crash_image(rule, seed);
                    let entries = reopen(&image).unwrap();
                    assert!(
                        entries >= saved,
                        "{fault:?} {k} {rule:?} {seed}: {entries} of {saved}"
                    );
                }
            }
        }
        assert!(failures > 30, "{failures}");
    }
}

fn reopen(image: &SimFs) -> Result<u64> {
    let opened = match open(image, &zero()) {
        Err(e) if e.is_repairable() => {
            assert!(Wal::repair(&image.shared(), dir())?);
            open(image, &zero())
        }
        other => other,
    };
    Ok(opened?.0.entries.len() as u64)
}

#[test]
fn a_short_write_is_carried_on() {
    let sim = SimFs::new();
    let mut log = create(&sim).unwrap();
    sim.fail_at(sim.op_count(), Fault::ShortWrite);
    log.save(None, &[entry(1, 1, 900)], true).unwrap();
    log.close().unwrap();
    assert_eq!(reopen(&sim).unwrap(), 1);
}

#[test]
fn a_failed_creation_leaves_the_place_free_for_another() {
    for fault in [Fault::Eio, Fault::Enospc] {
        for k in 0.. {
            let sim = SimFs::new();
            sim.fail_at(k, fault);
            if create(&sim).is_ok() {
                assert!(k >= 9, "{k}");
                break;
            }
            if Wal::exists(&sim.shared(), dir()).unwrap() {
                // Only the sync of the parent failed: the log is there, whole.
                open(&sim, &zero()).unwrap();
            } else {
                create(&sim).unwrap();
            }
        }
    }
}

#[test]
fn a_full_disk_ends_the_log_where_it_was_full_and_not_before() {
    let sim = SimFs::new();
    let mut log = create(&sim).unwrap();
    sim.limit_space(Some(12_288));
    let (saved, outcome) = save_all(&mut log);
    assert!(outcome.is_err());
    assert!(saved >= 4, "{saved}");
    sim.limit_space(None);
    drop(log);
    assert!(reopen(&sim).unwrap() >= saved);
}

#[test]
fn errors_of_the_system_name_the_file_and_the_offset() {
    let sim = SimFs::new();
    let mut log = create(&sim).unwrap();
    let at = log.segment_bytes();
    sim.fail_at(sim.op_count(), Fault::Enospc);
    let e = log.save(None, &[entry(1, 1, 10)], true).unwrap_err();
    assert!(matches!(&e, Error::IoAt { op: "write", offset, .. } if *offset == at));
    let again = log.sync().unwrap_err().to_string();
    assert!(
        again.contains("0000000000000000-0000000000000000.wal at offset 64"),
        "{again}"
    );
}
