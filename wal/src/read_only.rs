//! A log that is only looked at: no locks, no writes, a live member's directory is fine.
use std::path::Path;

use varve_proto::walpb::Snapshot;
use varve_vfs::DynFs;

use crate::dir::{self, Segment};
use crate::error::{Error, Result};
use crate::name::SegmentName;
use crate::records::Records;
use crate::replay::{Accumulator, Replay};

/// Segments from a start snapshot on.
#[derive(Clone, Debug)]
pub struct ReadOnly {
    dir: std::path::PathBuf,
    start: Snapshot,
    segments: Vec<Segment>,
}

impl ReadOnly {
    pub(crate) fn open(fs: &DynFs, dir: &Path, start: &Snapshot) -> Result<Self> {
        let list = || dir::from_index(fs.as_ref(), dir, start.index);
        let segments = dir::open_unlocked(fs, dir, list)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            start: start.clone(),
            segments,
        })
    }

    /// Opens every segment after the last gap in their sequence.
    pub(crate) fn open_all(fs: &DynFs, dir: &Path) -> Result<Self> {
        let segments = dir::open_unlocked(fs, dir, || dir::newest_run(fs.as_ref(), dir))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            start: Snapshot::default(),
            segments,
        })
    }

    /// The segments that will be read, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentName, &Path)> {
        self.segments
            .iter()
            .map(|segment| (segment.name, &*segment.path))
    }

    /// Every record, in order.
    pub fn records(&self) -> Result<Records> {
        Records::new(self.segments.clone())
    }

    /// Puts the records together; a torn tail, which a live log may show at any moment, ends the log.
    ///
    /// Errors: [`Error::SnapshotNotFound`] when the log has no record of the start snapshot; damage.
    pub fn read_all(self) -> Result<Replay> {
        let mut accumulator = Accumulator::new(&self.start);
        accumulator.add_all(&mut self.records()?)?;
        if !accumulator.matched() {
            let Snapshot { index, term, .. } = self.start;
            return Err(Error::SnapshotNotFound {
                dir: self.dir,
                index,
                term,
            });
        }
        Ok(accumulator.finish())
    }
}
