//! The segments of a directory, and which of them a reader needs.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve_vfs::{DynFs, File, Fs, LockKind, OpenOptions};

use crate::error::{Error, Result};
use crate::name::{EXTENSION, SegmentName};

/// An open segment; a lock taken on it lasts as long as this.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) path: Arc<Path>,
    pub(crate) file: Arc<dyn File>,
}

/// The segments in `dir`, oldest first. Other names are passed over.
pub(crate) fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<SegmentName>> {
    let names = fs.read_dir(dir).map_err(Error::io("list", dir))?;
    let mut segments: Vec<_> = names.iter().filter_map(|n| SegmentName::parse(n)).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Whether `dir` holds anything that looks like a segment: etcd asks for the extension only.
pub(crate) fn holds_log(fs: &dyn Fs, dir: &Path) -> Result<bool> {
    match fs.read_dir(dir) {
        Ok(names) => Ok(names.iter().any(|name| name.ends_with(EXTENSION))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("list", dir)(e)),
    }
}

/// The segments a replay from `index` needs: the last one whose index is not above, and all later
/// ones, which must follow each other without a gap.
pub(crate) fn from_index(fs: &dyn Fs, dir: &Path, index: u64) -> Result<Vec<SegmentName>> {
    let mut segments = list(fs, dir)?;
    let first = segments.iter().rposition(|s| s.index <= index);
    let chosen = segments.split_off(first.unwrap_or(segments.len()));
    if chosen.is_empty() || !chosen.windows(2).all(follows) {
        return Err(Error::NoSegment {
            dir: dir.to_path_buf(),
            index,
        });
    }
    Ok(chosen)
}

/// All segments after the last gap. A purge that a crash interrupted may leave a gap among the oldest.
pub(crate) fn newest_run(fs: &dyn Fs, dir: &Path) -> Result<Vec<SegmentName>> {
    let mut segments = list(fs, dir)?;
    let gap = segments.windows(2).rposition(|pair| !follows(pair));
    let run = segments.split_off(gap.map_or(0, |at| at + 1));
    if run.is_empty() {
        return Err(Error::NoSegment {
            dir: dir.to_path_buf(),
            index: 0,
        });
    }
    Ok(run)
}

fn follows(pair: &[SegmentName]) -> bool {
    matches!(pair, [a, b] if a.sequence.checked_add(1) == Some(b.sequence))
}

/// How often to list again when a purge took a segment between listing and opening; etcd's number.
const ATTEMPTS: usize = 3;

/// Opens the segments that `list` names for reading, without locks; lists again when one has gone
/// meanwhile.
pub(crate) fn open_unlocked(
    fs: &DynFs,
    dir: &Path,
    list: impl Fn() -> Result<Vec<SegmentName>>,
) -> Result<Vec<Segment>> {
    let mut attempt = 1;
    loop {
        let names = list()?;
        let segments = names
            .iter()
            .map(|name| open(fs, dir, *name, OpenOptions::read_only()))
            .collect::<Result<Vec<_>>>();
        match segments {
            Err(e) if e.is_not_found() && attempt < ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

/// Opens segments for reading and writing and locks them.
pub(crate) fn open_locked(fs: &DynFs, dir: &Path, names: &[SegmentName]) -> Result<Vec<Segment>> {
    names
        .iter()
        .map(|name| {
            let segment = open(fs, dir, *name, OpenOptions::read_write())?;
            lock(segment.file.as_ref(), &segment.path)?;
            Ok(segment)
        })
        .collect()
}

fn open(fs: &DynFs, dir: &Path, name: SegmentName, options: OpenOptions) -> Result<Segment> {
    let path: PathBuf = name.path_in(dir);
    let file = fs.open(&path, options).map_err(Error::io("open", &path))?;
    Ok(Segment {
        name,
        path: path.into(),
        file: file.into(),
    })
}

/// Takes the lock etcd takes on a segment; [`Error::Locked`] when somebody else has it.
pub(crate) fn lock(file: &dyn File, path: &Path) -> Result<()> {
    file.try_lock(LockKind::OpenFileDescription)
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked {
                path: path.to_path_buf(),
            },
            _ => Error::io("lock", path)(e),
        })
}
