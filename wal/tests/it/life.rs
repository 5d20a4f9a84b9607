//! A log's life under a model that knows what was promised, and the check of what a crash left.
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{CrashRule, SimFs};
use varve_wal::{Appender, Replay, Result, Wal};

use crate::support::{METADATA, dir, entry, open, options, state};

/// What the life of a log was told: every save that was attempted, and how much of it was durable.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) created: bool,
    pub(crate) saves: Vec<(Option<HardState>, Vec<Entry>)>,
    pub(crate) durable_saves: usize,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) durable_snapshots: usize,
}

impl Told {
    /// Log and hard state after the first `n` saves.
    pub(crate) fn after(&self, n: usize) -> (Vec<Entry>, Option<HardState>) {
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

/// Saves, and notes what was said of it.
pub(crate) fn save(
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

/// Starts as a member does, repairing once.
pub(crate) fn start(image: &SimFs, from: &Snapshot) -> (Replay, Appender) {
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
pub(crate) fn check(image: &SimFs, told: &Told, context: &str) {
    let fs = image.shared();
    if !Wal::exists(&fs, dir()).unwrap() {
        assert!(!told.created, "{context}: the log is gone");
        Wal::create(&fs, dir(), METADATA, options()).unwrap();
        return;
    }
    let usable = Wal::valid_snapshot_entries(&fs, dir()).unwrap();
    let from = usable.last().cloned().unwrap_or_default();
    if let Some(last) = told.durable_snapshots.checked_sub(1) {
        let fits = told.snapshots[last..].contains(&from);
        assert!(fits, "{context}: the snapshot is gone, {from:?} is there");
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

pub(crate) fn indexes(entries: &[Entry]) -> Vec<(u64, u64)> {
    entries.iter().map(|e| (e.term, e.index)).collect()
}
