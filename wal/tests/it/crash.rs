//! Power lost at every operation of a log's life, under every rule.
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{CrashRule, Fault, Fs, OpenOptions, SimFs};
use varve_wal::{Appender, Replay, Result, Wal, purge};

use crate::support::{METADATA, dir, entry, open, options, snapshot, state, zero};

const SEEDS: u64 = 12;

/// What the life of a log was told: every save that was attempted, and how much of it was durable.
#[derive(Default)]
struct Told {
    created: bool,
    saves: Vec<(Option<HardState>, Vec<Entry>)>,
    durable_saves: usize,
    snapshots: Vec<Snapshot>,
    durable_snapshots: usize,
}

impl Told {
    /// Log and hard state after the first `n` saves.
    fn after(&self, n: usize) -> (Vec<Entry>, Option<HardState>) {
        let (mut log, mut hard): (Vec<Entry>, _) = (Vec::new(), None);
        for (state, entries) in &self.saves[..n] {
            for entry in entries {
                log.truncate(usize::try_from(entry.index - 1).unwrap());
                log.push(entry.clone());
            }
            hard = state.or(hard);
        }
        (log, hard)
    }
}

fn save(
    log: &mut Appender,
    told: &mut Told,
    state: Option<HardState>,
    entries: Vec<Entry>,
    sync: bool,
) -> Result<()> {
    told.saves.push((state, entries.clone()));
    let stats = log.save(state.as_ref(), &entries, sync)?;
    if stats.synced {
        told.durable_saves = told.saves.len();
    }
    Ok(())
}

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

/// Starts as a member does, repairing once.
fn start(image: &SimFs, from: &Snapshot) -> (Replay, Appender) {
    match open(image, from) {
        Ok(opened) => opened,
        Err(e) => {
            assert!(e.is_repairable(), "{e}");
            assert!(Wal::repair(&image.shared(), dir()).unwrap());
            open(image, from).unwrap()
        }
    }
}

/// An image holds everything durable, and beyond it only what was on its way, in order.
fn check(image: &SimFs, told: &Told, context: &str) {
    let fs = image.shared();
    if !Wal::exists(&fs, dir()).unwrap() {
        assert!(!told.created, "{context}: the log is gone");
        Wal::create(&fs, dir(), METADATA, options()).unwrap();
        return;
    }
    let usable = Wal::valid_snapshot_entries(&fs, dir()).unwrap();
    let from = usable.last().cloned().unwrap_or_default();
    if told.durable_snapshots > 0 {
        assert_eq!(
            Some(&from),
            told.snapshots.last(),
            "{context}: a snapshot is gone"
        );
    }
    let (replay, mut log) = start(image, &from);
    assert!(
        replay.snapshot_matched && replay.metadata == METADATA,
        "{context}"
    );
    let skip = usize::try_from(from.index).unwrap();
    // The last save on its way may have arrived in part: some of its entries, or all but its state.
    let fits = (told.durable_saves..=told.saves.len()).any(|n| {
        let (log, hard) = told.after(n);
        if log.get(skip..).unwrap_or_default() == replay.entries && hard == replay.hard_state {
            return true;
        }
        let Some((_, next)) = told.saves.get(n) else {
            return false;
        };
        (0..=next.len()).any(|part| {
            let mut log = log.clone();
            for entry in &next[..part] {
                log.truncate(usize::try_from(entry.index - 1).unwrap());
                log.push(entry.clone());
            }
            log.get(skip..).unwrap_or_default() == replay.entries && hard == replay.hard_state
        })
    });
    assert!(
        fits,
        "{context}: replayed {:?} {:?}",
        replay.hard_state,
        indexes(&replay.entries)
    );

    // And life goes on, through another crash.
    let next = entry(9, from.index + replay.entries.len() as u64 + 1, 3000);
    log.save(
        Some(&state(9, from.index)),
        std::slice::from_ref(&next),
        true,
    )
    .unwrap();
    let again = image.crash_image(CrashRule::Torn, 1);
    let (replay, _) = start(&again, &from);
    assert_eq!(replay.entries.last(), Some(&next), "{context}");
    assert_eq!(replay.hard_state, Some(state(9, from.index)), "{context}");
}

fn indexes(entries: &[Entry]) -> Vec<(u64, u64)> {
    entries.iter().map(|e| (e.term, e.index)).collect()
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
