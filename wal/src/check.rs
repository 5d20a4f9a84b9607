//! Questions about a log that need its records but not its entries.
use std::path::Path;

use varve_proto::raftpb::HardState;
use varve_proto::walpb::Snapshot;
use varve_vfs::DynFs;

use crate::error::{Error, Result};
use crate::format::RecordKind;
use crate::read_only::ReadOnly;
use crate::replay::{self, Accumulator};

/// The snapshots a start may use: those recorded up to the last commit recorded.
pub(crate) fn valid_snapshots(fs: &DynFs, dir: &Path) -> Result<Vec<Snapshot>> {
    let mut snapshots = Vec::new();
    let mut commit = 0;
    let mut records = ReadOnly::open_all(fs, dir)?.records()?;
    loop {
        let record = match records.next_located() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(e) if e.is_repairable() => break,
            Err(e) => return Err(e),
        };
        let file = records.path();
        match record.kind {
            RecordKind::Snapshot => snapshots.push(replay::snapshot(&record, file)?),
            RecordKind::State => commit = replay::hard_state(&record, file)?.commit,
            RecordKind::Metadata | RecordKind::Entry | RecordKind::Crc => {}
        }
    }
    snapshots.retain(|snapshot| snapshot.index <= commit);
    Ok(snapshots)
}

/// Reads a log from `start` to its end, as a start would, and gives its hard state.
pub(crate) fn verify(fs: &DynFs, dir: &Path, start: &Snapshot) -> Result<HardState> {
    let mut accumulator = Accumulator::checking(start);
    accumulator.add_all(&mut ReadOnly::open(fs, dir, start)?.records()?)?;
    if !accumulator.matched() {
        let Snapshot { index, term, .. } = *start;
        return Err(Error::SnapshotNotFound {
            dir: dir.to_path_buf(),
            index,
            term,
        });
    }
    Ok(accumulator.finish().hard_state.unwrap_or_default())
}
