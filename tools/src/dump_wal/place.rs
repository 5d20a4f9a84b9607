//! Where the parts of a member's data are, and which segments of its log make one log.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use varve_proto::walpb::Snapshot;
use varve_vfs::DynFs;
use varve_wal::{ReadOnly, SegmentName, Wal};

use super::args::Cli;
use super::steady;
use crate::look_fs::LookFs;

/// What looks like a segment but for its name.
const EXTENSION: &str = ".wal";

/// How often a log that is being written is looked at again.
const ATTEMPTS: usize = 3;

/// A member's directories.
#[derive(Debug)]
pub(super) struct Place {
    /// Shows the segments up to what is missing.
    pub(super) fs: DynFs,
    pub(super) wal: PathBuf,
    /// Unknown when only the log's directory was given.
    pub(super) snap: Option<PathBuf>,
    /// Why the log cannot go on after the last segment shown.
    pub(super) missing: Option<String>,
    /// What is unusual, but not wrong.
    pub(super) notes: Vec<String>,
}

impl Place {
    /// Lists the directory. With a gap in the sequence of segments, what stands after it counts if a
    /// member could start from there: then a crash interrupted the removal of old segments. If not,
    /// segments are missing, and what stands before the gap is all that is good.
    pub(super) fn find(cli: &Cli) -> Result<Self> {
        let mut place = Self {
            fs: LookFs::shared(),
            wal: cli.wal_dir(),
            snap: cli.data_dir.as_ref().map(|dir| dir.join("member/snap")),
            missing: None,
            notes: Vec::new(),
        };
        let mut listed = place.list()?;
        for _ in 1..ATTEMPTS {
            if gaps(&listed.segments).next().is_none() {
                break;
            }
            // Segments may be going while they are listed.
            listed = place.list()?;
        }
        for name in &listed.others {
            let note = format!(
                "{} is not the name of a segment",
                place.wal.join(name).display()
            );
            place.notes.push(note);
        }
        let segments = &listed.segments;
        if let Some(oldest) = segments.first().filter(|oldest| oldest.sequence > 0)
            && gaps(segments).next().is_none()
            && !place.can_start_from(*oldest)
        {
            let oldest = oldest.path_in(&place.wal);
            place.missing = Some(format!(
                "no segment stands before {}, and no snapshot makes up for it",
                oldest.display()
            ));
        }
        let (first, last) = (gaps(segments).next(), gaps(segments).last());
        if let (Some((before, after)), Some((_, newest))) = (first, last) {
            let path = |segment: SegmentName| segment.path_in(&place.wal);
            if place.can_start_from(newest) {
                let newest = path(newest);
                let note = format!("what stands before {} is left over", newest.display());
                place.notes.push(note);
            } else {
                place.missing = Some(steady::gap(&path(before), &path(after)));
                place.fs = LookFs::without_segments_from(after.sequence);
            }
        }
        Ok(place)
    }

    fn list(&self) -> Result<Listed> {
        let names = self.fs.read_dir(&self.wal);
        let names =
            names.with_context(|| format!("no log can be read in {}", self.wal.display()))?;
        let mut listed = Listed::default();
        for name in names {
            match SegmentName::parse(&name) {
                Some(segment) => listed.segments.push(segment),
                None if name.ends_with(EXTENSION) => listed.others.push(name),
                None => {}
            }
        }
        listed.segments.sort_unstable();
        Ok(listed)
    }

    /// Whether the log has the record of a snapshot that needs no segment before this one.
    fn can_start_from(&self, segment: SegmentName) -> bool {
        let known = self.known_snapshots();
        known.iter().flatten().any(|s| s.index >= segment.index)
    }

    /// The snapshots a start may use, oldest first; none when the log is damaged.
    pub(super) fn known_snapshots(&self) -> Option<Vec<Snapshot>> {
        // What is being written may look damaged.
        (0..ATTEMPTS).find_map(|_| Wal::valid_snapshot_entries(&self.fs, &self.wal).ok())
    }

    /// Opens what is needed for the entries above `after`, or all there is when that was purged.
    pub(super) fn open_after(&self, after: u64) -> varve_wal::Result<ReadOnly> {
        let start = Snapshot {
            index: after,
            term: 0,
            conf_state: None,
        };
        match Wal::open_read_only(&self.fs, &self.wal, &start) {
            Err(varve_wal::Error::NoSegment { .. }) => self.open_all(),
            other => other,
        }
    }

    /// Opens all that is left of the log.
    pub(super) fn open_all(&self) -> varve_wal::Result<ReadOnly> {
        Wal::open_all_read_only(&self.fs, &self.wal)
    }
}

/// The names in a log's directory.
#[derive(Debug, Default)]
struct Listed {
    segments: Vec<SegmentName>,
    /// Files with a segment's extension.
    others: Vec<String>,
}

/// Neighbours whose sequences are not.
fn gaps(segments: &[SegmentName]) -> impl Iterator<Item = (SegmentName, SegmentName)> {
    segments.windows(2).filter_map(|pair| match pair {
        [a, b] if a.sequence.checked_add(1) != Some(b.sequence) => Some((*a, *b)),
        _ => None,
    })
}

/// The last part of a path, for output that has named the directory already.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
