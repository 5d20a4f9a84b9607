//! What a log says, put together from its records.
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;

use crate::error::{Error, Result};
use crate::format::RecordKind;
use crate::records::{Located, Records};

mod entry;
mod survivors;

use entry::decode_entry;
use survivors::Survivors;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Who the log belongs to: what [`Wal::create`](crate::Wal::create) was given.
    pub metadata: Bytes,
    /// The last hard state, if any was saved.
    pub hard_state: Option<HardState>,
    /// The entries after the start snapshot, without gaps; later records have overridden earlier ones.
    pub entries: Vec<Entry>,
    /// Whether the log has a record of the start snapshot. Opening for append does not insist on it,
    /// as in etcd.
    pub snapshot_matched: bool,
}

/// Takes records one by one.
#[derive(Debug)]
pub(crate) struct Accumulator {
    start: Snapshot,
    replay: Replay,
    has_metadata: bool,
    /// Whether entries are kept, or only counted.
    keep: bool,
    count: usize,
    survivors: Survivors,
    /// Index of the last entry or snapshot recorded.
    pub(crate) last_index: u64,
}

impl Accumulator {
    /// Keeps everything.
    pub(crate) fn new(start: &Snapshot) -> Self {
        Self {
            keep: true,
            ..Self::checking(start)
        }
    }

    /// Checks entries like one that keeps them, and lets them go.
    pub(crate) fn checking(start: &Snapshot) -> Self {
        Self {
            keep: false,
            count: 0,
            survivors: Survivors::default(),
            start: start.clone(),
            replay: Replay::default(),
            has_metadata: false,
            last_index: 0,
        }
    }

    pub(crate) fn finish(mut self) -> Replay {
        self.survivors.end(&mut self.replay.entries);
        self.replay
    }

    pub(crate) fn matched(&self) -> bool {
        self.replay.snapshot_matched
    }

    pub(crate) fn has_metadata(&self) -> bool {
        self.has_metadata
    }

    /// Takes all records; a torn tail ends them.
    pub(crate) fn add_all(&mut self, records: &mut Records) -> Result<()> {
        loop {
            match records.next_located() {
                Ok(Some(record)) => self.add(record, records.path())?,
                Ok(None) => return Ok(()),
                Err(e) if e.is_repairable() => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes the next record, which stands in the segment `file`.
    #[inline]
    pub(crate) fn add(&mut self, record: Located, file: &Path) -> Result<()> {
        match record.kind {
            RecordKind::Crc => Ok(()),
            RecordKind::Metadata => self.metadata(record, file),
            RecordKind::Entry => self.entry(record, file),
            RecordKind::State => {
                self.replay.hard_state = Some(hard_state(&record, file)?);
                Ok(())
            }
            RecordKind::Snapshot => self.snapshot(&record, file),
        }
    }

    fn metadata(&mut self, record: Located, file: &Path) -> Result<()> {
        if self.has_metadata && self.replay.metadata != record.data {
            return Err(Error::MetadataConflict {
                file: file.to_path_buf(),
                offset: record.frame.offset,
            });
        }
        if !self.has_metadata {
            self.has_metadata = true;
            // Whoever keeps it keeps no block of the log with it.
            self.replay.metadata = Bytes::copy_from_slice(&record.data);
        }
        Ok(())
    }

    #[inline]
    fn entry(&mut self, record: Located, file: &Path) -> Result<()> {
        let (offset, block) = (record.frame.offset, record.block);
        let entry = entry(record, file)?;
        self.last_index = entry.index;
        let after_start = entry.index.checked_sub(self.start.index);
        let Some(position) = after_start.and_then(|distance| distance.checked_sub(1)) else {
            // It replaced whatever had been recorded behind it. etcd keeps that, and would start with
            // entries its raft had long dropped.
            self.count = 0;
            self.replay.entries.clear();
            self.survivors.cut_to(0);
            return Ok(());
        };
        match usize::try_from(position) {
            Ok(position) if position <= self.count => {
                self.count = position + 1;
                if self.keep {
                    let entries = &mut self.replay.entries;
                    if position < entries.len() {
                        entries.truncate(position);
                        self.survivors.cut_to(position);
                    }
                    self.survivors.begin(block, entries);
                    entries.push(entry);
                }
                Ok(())
            }
            _ => Err(Error::IndexGap {
                file: file.to_path_buf(),
                offset,
                expected: self.start.index.saturating_add(self.count as u64 + 1),
                found: entry.index,
            }),
        }
    }

    fn snapshot(&mut self, record: &Located, file: &Path) -> Result<()> {
        let snapshot = snapshot(record, file)?;
        self.last_index = self.last_index.max(snapshot.index);
        if snapshot.index != self.start.index {
            return Ok(());
        }
        if snapshot.term != self.start.term {
            return Err(Error::SnapshotMismatch {
                file: file.to_path_buf(),
                offset: record.frame.offset,
                index: snapshot.index,
                expected: self.start.term,
                found: snapshot.term,
            });
        }
        self.replay.snapshot_matched = true;
        Ok(())
    }
}

/// The entry of a record. The type of a record is not under its checksum, so what must hold of an
/// entry is checked: a term, an index, one of raft's three types, and a change in a change of members.
#[inline]
fn entry(record: Located, file: &Path) -> Result<Entry> {
    let offset = record.frame.offset;
    let entry = decode_entry(record.data).ok_or_else(|| malformed(offset, file, "entry"))?;
    let sane = match entry.r#type {
        0 | 2 => true,
        1 => entry.data.is_some(),
        _ => false,
    };
    if entry.term == 0 || entry.index == 0 || !sane {
        return Err(malformed(offset, file, "entry that no raft makes"));
    }
    Ok(entry)
}

/// The hard state of a record: exactly its three fields, which every version writes, and no vote
/// without a term.
pub(crate) fn hard_state(record: &Located, file: &Path) -> Result<HardState> {
    let offset = record.frame.offset;
    let state = HardState::decode(record.data.clone())
        .map_err(|_| malformed(offset, file, "hard state"))?;
    if state.encode_to_vec() != record.data || (state.term == 0 && state.vote != 0) {
        return Err(malformed(offset, file, "hard state"));
    }
    Ok(state)
}

/// The snapshot of a record.
pub(crate) fn snapshot(record: &Located, file: &Path) -> Result<Snapshot> {
    Snapshot::decode(record.data.clone())
        .map_err(|_| malformed(record.frame.offset, file, "snapshot"))
}

fn malformed(offset: u64, file: &Path, what: &'static str) -> Error {
    Error::Malformed {
        file: file.to_path_buf(),
        offset,
        what,
    }
}

#[cfg(test)]
mod tests;
