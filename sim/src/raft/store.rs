//! What holds a member's log and snapshots on its simulated disk.
//!
//! Writing and making durable are two steps, so that a world can let time pass, and power fail, in
//! between. An error of any call ends the member: what is on the disk is known again after a restart.

mod lean;
mod wal;

use varve_proto::raftpb::{Entry, HardState, Snapshot};
use varve_vfs::SimFs;

use super::plan::StoreKind;
use lean::Lean;
use wal::WalStore;

/// What one write puts into the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Write<'a> {
    /// Replaces everything.
    pub(super) snapshot: Option<&'a Snapshot>,
    /// Replace what is in the log from the first one on.
    pub(super) entries: &'a [Entry],
    /// Replaces the one before.
    pub(super) state: Option<HardState>,
}

/// What a disk gives back.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovered {
    pub(super) state: HardState,
    /// With index 0: none.
    pub(super) snapshot: Snapshot,
    /// Consecutive, behind the snapshot.
    pub(super) entries: Vec<Entry>,
}

/// Why a store failed, as text: the member ends whatever it is.
pub(super) type StoreResult<T> = Result<T, String>;

/// A log on a simulated disk.
#[derive(Debug)]
pub(super) enum Store {
    Lean(Lean),
    Wal(Box<WalStore>),
}

impl Store {
    /// A new log on an empty disk.
    pub(super) fn create(kind: StoreKind, fs: &SimFs) -> StoreResult<Self> {
        match kind {
            StoreKind::Lean => Lean::create(fs).map(Store::Lean),
            StoreKind::Wal => WalStore::create(fs).map(|wal| Store::Wal(Box::new(wal))),
        }
    }

    /// The log that is on a disk. `keep_old_end` is a mistake, see [`crate::Bugs`].
    pub(super) fn open(
        kind: StoreKind,
        fs: &SimFs,
        keep_old_end: bool,
    ) -> StoreResult<(Self, Recovered)> {
        let (store, mut found) = match kind {
            StoreKind::Lean => {
                let (lean, found) = Lean::open(fs, keep_old_end)?;
                (Store::Lean(lean), found)
            }
            StoreKind::Wal => {
                let (wal, found) = WalStore::open(fs)?;
                (Store::Wal(Box::new(wal)), found)
            }
        };
        let snapshot = &found.snapshot.metadata;
        found.state.commit = found.state.commit.max(snapshot.index);
        if found.state.term < snapshot.term {
            found.state.term = snapshot.term;
            found.state.vote = 0;
        }
        Ok((store, found))
    }

    /// Writes; nothing of it is durable for certain before [`Store::sync`].
    pub(super) fn write(&mut self, write: Write<'_>) -> StoreResult<()> {
        match self {
            Store::Lean(lean) => lean.write(write),
            Store::Wal(wal) => wal.write(write),
        }
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self) -> StoreResult<()> {
        match self {
            Store::Lean(lean) => lean.sync(),
            Store::Wal(wal) => wal.sync(),
        }
    }

    /// Saves a snapshot of this member's own state, durably. The log before it may go.
    pub(super) fn save_snapshot(&mut self, snapshot: &Snapshot) -> StoreResult<()> {
        match self {
            Store::Lean(lean) => lean.save_snapshot(snapshot),
            Store::Wal(wal) => wal.save_snapshot(snapshot),
        }
    }
}
