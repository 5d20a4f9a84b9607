//! Power lost at every operation of a log's life, under every rule.
use proptest::prelude::*;
use varve_vfs::{CrashRule, Fault, Fs, OpenOptions, SimFs};
use varve_wal::{Result, Wal, purge};

use crate::life::{Told, check, indexes, save, start};
use crate::support::{METADATA, dir, entry, open, options, snapshot, state, zero};

const SEEDS: u64 = 12;

/// A short life: saves with and without sync, an override, cuts, a snapshot, release and purge, a clean
/// stop and a second start.
fn live(sim: &SimFs, told: &mut Told) -> Result<()> {
    let fs = sim.shared();
    let mut log = Wal::create(&fs, dir(), METADATA, options())?;
    told.created = true;
    for index in 1..=6 {
        save(
            &mut log,
            told,
            Some(state(1, index - 1)),
            vec![entry(1, index, 700)],
            true,
        )?;
    }
    // Not synced, then overridden in a higher term: a synced batch of several sectors.
    save(
        &mut log,
        told,
        None,
        vec![entry(1, 7, 300), entry(1, 8, 1500)],
        false,
    )?;
    save(
        &mut log,
        told,
        Some(state(2, 6)),
        vec![entry(2, 7, 90), entry(2, 8, 2500)],
        true,
    )?;
    save(&mut log, told, Some(state(2, 8)), Vec::new(), false)?;
    let snap = snapshot(2, 8);
    told.snapshots.push(snap.clone());
    log.save_snapshot(&snap)?;
    told.durable_snapshots = told.snapshots.len();
    told.durable_saves = told.saves.len();
    for index in 9..=12 {
        save(
            &mut log,
            told,
            Some(state(2, index)),
            vec![entry(2, index, 1100)],
            true,
        )?;
    }
    log.close()?;
    let (_, mut log) = open(sim, &zero())?;
    save(
        &mut log,
        told,
        Some(state(3, 12)),
        vec![entry(3, 13, 1500)],
        true,
    )?;
    log.release_to(9)?;
    purge(&fs, dir(), 3)?;
    save(
        &mut log,
        told,
        Some(state(3, 13)),
        vec![entry(3, 14, 40)],
        true,
    )?;
    log.close()
}

#[test]
fn whatever_was_durable_survives_a_crash_at_any_operation_and_the_rest_is_whole_or_gone() {
    for k in 0.. {
        let sim = SimFs::new();
        let mut told = Told::default();
        sim.fail_at(k, Fault::Crash);
        let outcome = live(&sim, &mut told);
        for rule in CrashRule::ALL {
            for seed in 0..SEEDS {
                let context = format!("crash at {k}, {rule:?}, seed {seed}");
                check(&sim.crash_image(rule, seed), &told, &context);
            }
        }
        if outcome.is_ok() {
            assert!(k > 60, "only {k} operations were tried");
            break;
        }
    }
}

#[test]
fn no_failed_operation_of_a_life_loses_what_was_durable() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
        for k in 0.. {
            let sim = SimFs::new();
            let mut told = Told::default();
            sim.fail_at(k, fault);
            let outcome = live(&sim, &mut told);
            let done = sim.op_count() <= k;
            // A short write is carried on; a segment that could not be prepared is prepared again.
            assert!(
                outcome.is_err() || done || fault == Fault::ShortWrite,
                "{fault:?} at {k}"
            );
            for rule in CrashRule::ALL {
                for seed in 0..4 {
                    let context = format!("{fault:?} at {k}, {rule:?}, seed {seed}");
                    check(&sim.crash_image(rule, seed), &told, &context);
                }
            }
            if done {
                assert!(k > 60, "only {k} operations were tried");
                break;
            }
        }
    }
}

#[test]
fn a_repair_survives_a_crash_at_any_of_its_operations() {
    let sim = SimFs::new();
    let mut log = Wal::create(&sim.shared(), dir(), METADATA, options()).unwrap();
    log.save(Some(&state(1, 1)), &[entry(1, 1, 100)], true)
        .unwrap();
    log.save(None, &[entry(1, 2, 2000)], false).unwrap();
    drop(log);
    // An image in which the second record is torn.
    let torn = (0..10_000)
        .map(|seed| sim.crash_image(CrashRule::Subset, seed))
        .find(|image| open(image, &zero()).is_err_and(|e| e.is_repairable()))
        .unwrap();
    for k in 0.. {
        let before = torn.crash_image(CrashRule::KeepAll, 0);
        before.fail_at(before.op_count() + k, Fault::Crash);
        let outcome = Wal::repair(&before.shared(), dir());
        for rule in CrashRule::ALL {
            for seed in 0..SEEDS {
                let image = before.crash_image(rule, seed);
                let (replay, _) = start(&image, &zero());
                assert_eq!(indexes(&replay.entries), [(1, 1)]);
                assert_eq!(replay.hard_state, Some(state(1, 1)));
            }
        }
        if outcome.is_ok() {
            assert_eq!(k, 6, "create, copy, sync, sync of the directory, cut, sync");
            break;
        }
    }
}

#[test]
fn garbage_behind_the_log_is_gone_before_anything_is_written_over_it() {
    let sim = SimFs::new();
    let mut log = Wal::create(&sim.shared(), dir(), METADATA, options()).unwrap();
    log.save(Some(&state(1, 1)), &[entry(1, 1, 100)], true)
        .unwrap();
    let end = log.segment_bytes();
    log.close().unwrap();
    // What a torn batch of an earlier life may leave: nothing where its first length should be, and
    // its later sectors.
    let segment = dir().join("0000000000000000-0000000000000000.wal");
    let file = sim.open(&segment, OpenOptions::read_write()).unwrap();
    file.write_all_at(&[0xaa; 2000], end + 300).unwrap();
    drop(file);
    sim.sync_everything();

    let (_, mut log) = open(&sim, &zero()).unwrap();
    log.save(None, &[entry(1, 2, 2500)], false).unwrap();
    for rule in CrashRule::ALL {
        for seed in 0..200 {
            let (replay, _) = start(&sim.crash_image(rule, seed), &zero());
            assert_eq!(replay.entries[0], entry(1, 1, 100), "{rule:?} {seed}");
        }
    }
}

/// One step of a life made up at random.
#[derive(Clone, Debug)]
enum Step {
    /// Entries of these sizes from up to `back` indexes before the end on, in a new term if they override.
    Save {
        back: u64,
        sizes: Vec<usize>,
        commit: bool,
        sync: bool,
    },
    Snapshot,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let sizes =
        proptest::collection::vec(prop_oneof![0..64usize, 0..1200usize, 0..6000usize], 0..5);
    prop_oneof![
        8 => (0..3u64, sizes, any::<bool>(), any::<bool>())
            .prop_map(|(back, sizes, commit, sync)| Step::Save { back, sizes, commit, sync }),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ]
}

fn live_randomly(sim: &SimFs, told: &mut Told, steps: &[Step]) -> Result<()> {
    let fs = sim.shared();
    let mut log = Wal::create(&fs, dir(), METADATA, options())?;
    told.created = true;
    let (mut term, mut last, mut low) = (1, 0_u64, 0);
    for step in steps {
        match step {
            Step::Save {
                back,
                sizes,
                commit,
                sync,
            } => {
                let keep = if sizes.is_empty() {
                    last
                } else {
                    last.saturating_sub(*back).max(low)
                };
                term += u64::from(keep < last);
                let entries: Vec<_> = (keep + 1..)
                    .zip(sizes)
                    .map(|(index, size)| entry(term, index, *size))
                    .collect();
                last = keep + entries.len() as u64;
                let state = commit.then(|| state(term, low));
                save(&mut log, told, state, entries, *sync)?;
            }
            Step::Snapshot if last > low => {
                save(&mut log, told, Some(state(term, last)), Vec::new(), false)?;
                low = last;
                let snap = snapshot(term, last);
                told.snapshots.push(snap.clone());
                log.save_snapshot(&snap)?;
                told.durable_snapshots = told.snapshots.len();
                told.durable_saves = told.saves.len();
                log.release_to(last)?;
                purge(&fs, dir(), 1)?;
            }
            Step::Snapshot => {}
            Step::Restart => {
                log.close()?;
                told.durable_saves = told.saves.len();
                let from = told.snapshots.last().cloned().unwrap_or_default();
                log = open(sim, &from)?.1;
            }
        }
    }
    log.close()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_life_survives_a_crash_anywhere(
        steps in proptest::collection::vec(step(), 1..20),
        at in any::<proptest::sample::Index>(),
        seed: u64,
    ) {
        let calm = SimFs::new();
        live_randomly(&calm, &mut Told::default(), &steps).unwrap();
        let crash_at = at.index(usize::try_from(calm.op_count()).unwrap()) as u64;
        let sim = SimFs::new();
        let mut told = Told::default();
        sim.fail_at(crash_at, Fault::Crash);
        live_randomly(&sim, &mut told, &steps).unwrap_err();
        for rule in CrashRule::ALL {
            for seed in seed..=seed.saturating_add(2) {
                let context = format!("crash at {crash_at}, {rule:?}, seed {seed}");
                check(&sim.crash_image(rule, seed), &told, &context);
            }
        }
    }
}
