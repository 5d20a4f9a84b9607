//! The entries of a log with their places, later ones in place of those they override.
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use prost::Message as _;
use varve_proto::etcdserverpb::Metadata;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_wal::{Record, RecordKind};

use super::Place;
use super::steady::{Steady, Stop};
use crate::console::Console;

/// An entry and where its record stands.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) entry: Entry,
    pub(super) segment: Arc<Path>,
    pub(super) offset: u64,
}

/// What a log says, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) metadata: Metadata,
    pub(super) state: HardState,
    pub(super) entries: Vec<Placed>,
    /// Entries that later ones took the place of.
    pub(super) overridden: u64,
    /// Why reading ended before the end.
    pub(super) stop: Option<Stop>,
}

/// Why records cannot be put together; the record's place is added by who knows it.
type Flaw = String;

/// Entries without a gap, the newest ones read. Before the first of them there may be others, and a hole
/// between that a snapshot from a leader made.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// How many entries stand before it.
    from: usize,
    /// The index before its first; any, until there is a first.
    base: Option<u64>,
    /// The newest snapshot recorded so far.
    pub(super) snapshot: u64,
}

impl Run {
    /// Begins after an index; without one the first entry there is decides.
    pub(super) fn after(index: u64) -> Self {
        Self {
            base: (index > 0).then_some(index),
            ..Self::default()
        }
    }

    /// How many of `count` entries stay when one of `index` comes: it takes the place of those from its
    /// own index on.
    pub(super) fn place(&mut self, index: u64, count: usize) -> Result<usize, Flaw> {
        let base = *self.base.get_or_insert(index.saturating_sub(1));
        let Some(keep) = index.checked_sub(base).and_then(|n| n.checked_sub(1)) else {
            return Err(format!("entry {index} goes back before {base}"));
        };
        let have = (count - self.from) as u64;
        if keep <= have {
            return Ok(self.from + usize::try_from(keep).map_err(|e| e.to_string())?);
        }
        if self.snapshot.checked_add(1) != Some(index) {
            return Err(format!("entry {index} follows entry {}", base + have));
        }
        (self.from, self.base) = (count, Some(self.snapshot));
        Ok(count)
    }
}

impl Log {
    /// Reads the entries above `after`, in what is left of the log when its beginning was purged.
    pub(super) fn read(place: &Place, after: u64, console: &Console<'_>) -> Result<Self> {
        let records = Steady::new(place, console, || place.open_after(after))?;
        let mut run = Run::after(after);
        let mut log = Self::default();
        for record in records {
            let outcome = record.and_then(|record| {
                let added = log.add(&record, after, &mut run);
                added.map_err(|flaw| Stop::at(&record, &flaw))
            });
            if let Err(stop) = outcome {
                log.stop = Some(stop);
                break;
            }
        }
        Ok(log)
    }

    fn add(&mut self, record: &Record, after: u64, run: &mut Run) -> Result<(), Flaw> {
        let data = record.data.clone();
        match record.kind {
            RecordKind::Crc => {}
            RecordKind::Snapshot => {
                let snapshot = Snapshot::decode(data).map_err(|e| format!("snapshot: {e}"))?;
                run.snapshot = run.snapshot.max(snapshot.index);
            }
            RecordKind::Metadata => {
                self.metadata = Metadata::decode(data).map_err(|e| format!("metadata: {e}"))?;
            }
            RecordKind::State => {
                self.state = HardState::decode(data).map_err(|e| format!("hard state: {e}"))?;
            }
            RecordKind::Entry => {
                let entry = Entry::decode(data).map_err(|e| format!("entry: {e}"))?;
                return self.entry(entry, record, after, run);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: Entry,
        record: &Record,
        after: u64,
        run: &mut Run,
    ) -> Result<(), Flaw> {
        if entry.index <= after {
            self.overridden += self.entries.len() as u64;
            self.entries.clear();
            *run = Run {
                snapshot: run.snapshot,
                ..Run::after(after)
            };
            return Ok(());
        }
        let keep = run.place(entry.index, self.entries.len())?;
        self.overridden += (self.entries.len() - keep) as u64;
        self.entries.truncate(keep);
        self.entries.push(Placed {
            entry,
            segment: Arc::clone(&record.segment),
            offset: record.offset,
        });
        Ok(())
    }

    /// Entries below `end`.
    pub(super) fn below(&self, end: Option<u64>) -> impl Iterator<Item = &Placed> {
        let end = end.unwrap_or(u64::MAX);
        self.entries
            .iter()
            .filter(move |placed| placed.entry.index < end)
    }

    /// Says where and why reading ended; false for damage.
    pub(super) fn report_stop(&self, console: &mut Console<'_>) -> Result<bool> {
        match &self.stop {
            None => Ok(true),
            Some(stop) => stop.report(console),
        }
    }
}
