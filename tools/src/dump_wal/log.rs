//! The entries of a log with their places, later ones in place of those they override.
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use prost::Message as _;
use varve_proto::etcdserverpb::Metadata;
use varve_proto::raftpb::{Entry, HardState};
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

impl Log {
    /// Reads the entries above `after`, in what is left of the log when its beginning was purged.
    pub(super) fn read(place: &Place, after: u64, console: &Console<'_>) -> Result<Self> {
        let records = Steady::new(place, console, || place.open_after(after))?;
        // Without a start the first entry there is decides what can follow.
        let mut next = (after > 0).then_some(after);
        let mut log = Self::default();
        for record in records {
            let outcome = record.and_then(|record| {
                let added = log.add(&record, after, &mut next);
                added.map_err(|flaw| Stop::at(&record, &flaw))
            });
            if let Err(stop) = outcome {
                log.stop = Some(stop);
                break;
            }
        }
        Ok(log)
    }

    fn add(&mut self, record: &Record, after: u64, base: &mut Option<u64>) -> Result<(), Flaw> {
        let data = record.data.clone();
        match record.kind {
            RecordKind::Crc | RecordKind::Snapshot => {}
            RecordKind::Metadata => {
                self.metadata = Metadata::decode(data).map_err(|e| format!("metadata: {e}"))?;
            }
            RecordKind::State => {
                self.state = HardState::decode(data).map_err(|e| format!("hard state: {e}"))?;
            }
            RecordKind::Entry => {
                let entry = Entry::decode(data).map_err(|e| format!("entry: {e}"))?;
                return self.entry(entry, record, after, base);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: Entry,
        record: &Record,
        after: u64,
        base: &mut Option<u64>,
    ) -> Result<(), Flaw> {
        let count = self.entries.len() as u64;
        if entry.index <= after {
            self.overridden += count;
            self.entries.clear();
            return Ok(());
        }
        let base = *base.get_or_insert(entry.index - 1);
        let Some(keep) = entry.index.checked_sub(base).and_then(|n| n.checked_sub(1)) else {
            return Err(format!("entry {} goes back before {base}", entry.index));
        };
        if keep > count {
            return Err(format!(
                "entry {} follows entry {}",
                entry.index,
                base + count
            ));
        }
        self.overridden += count - keep;
        self.entries
            .truncate(usize::try_from(keep).map_err(|e| e.to_string())?);
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
