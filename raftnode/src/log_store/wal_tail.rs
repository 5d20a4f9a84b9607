//! Entries that are in memory no longer, read back from the WAL for a follower that lags.
//!
//! Called by the raft thread, through [`LogStore`](super::LogStore), for at most one message's worth of
//! entries at a time. A follower that catches up asks for consecutive ranges, and asks for one again when
//! a message was lost: each such follower has a window, a place in the log from which reading goes on and
//! the entries last read.
//!
//! # Invariants
//! 1. An entry is given out only if index and term are those that the log has there. The file may hold
//!    others for an index, which a later leader replaced; term and index together name an entry for good.
use std::collections::VecDeque;
use std::path::PathBuf;

use varve_proto::prost::Message as _;
use varve_proto::raftpb::Entry;
use varve_proto::walpb;
use varve_vfs::DynFs;
use varve_wal::{RecordKind, Records, Wal};

/// Followers that may lag at a time without taking the place of one another.
const WINDOWS: usize = 4;

/// Bytes of entries that a window remembers, so that a message that was lost is not read again.
const WINDOW_BYTES: usize = 2 << 20;

/// Why entries could not be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum TailError {
    #[error(transparent)]
    Wal(#[from] varve_wal::Error),
    #[error("the write-ahead log has no entry {index} of term {term}")]
    Missing { index: u64, term: u64 },
}

/// Reads the log of one member.
#[derive(Debug)]
pub(super) struct WalTail {
    fs: DynFs,
    dir: PathBuf,
    /// The one used last at the end.
    windows: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    records: Records,
    /// Consecutive; the record after the last of them comes next.
    recent: VecDeque<Entry>,
    bytes: usize,
}

impl WalTail {
    pub(super) fn new(fs: DynFs, dir: PathBuf) -> Self {
        Self {
            fs,
            dir,
            windows: Vec::new(),
        }
    }

    /// Entries from `lo` on, up to `hi` excluded or `max_size` encoded bytes, one at least.
    pub(super) fn read(
        &mut self,
        lo: u64,
        hi: u64,
        max_size: u64,
        term_of: impl Fn(u64) -> Option<u64>,
    ) -> Result<Vec<Entry>, TailError> {
        let known = self.windows.iter().position(|w| w.continues(lo));
        if let Some(at) = known {
            let mut window = self.windows.remove(at);
            // A window does not see what was written after it was opened: then another one may.
            if let Ok(out) = window.read(lo, hi, max_size, &term_of) {
                self.windows.push(window);
                return Ok(out);
            }
        }
        let mut window = Window::open(&self.fs, &self.dir, lo)?;
        let out = window.read(lo, hi, max_size, &term_of)?;
        if self.windows.len() >= WINDOWS {
            self.windows.remove(0);
        }
        self.windows.push(window);
        Ok(out)
    }

    /// Forgets what was read: the log begins anew behind a snapshot.
    pub(super) fn clear(&mut self) {
        self.windows.clear();
    }
}

impl Window {
    fn open(fs: &DynFs, dir: &std::path::Path, lo: u64) -> Result<Self, TailError> {
        // The segment is chosen by the index of a snapshot before the first entry wanted.
        let before = walpb::Snapshot {
            index: lo.saturating_sub(1),
            ..walpb::Snapshot::default()
        };
        let records = Wal::open_read_only(fs, dir, &before)?.records()?;
        Ok(Self {
            records,
            recent: VecDeque::new(),
            bytes: 0,
        })
    }

    /// Whether the entry is among the recent ones or comes next.
    fn continues(&self, lo: u64) -> bool {
        let (Some(first), Some(last)) = (self.recent.front(), self.recent.back()) else {
            return false;
        };
        (first.index..=last.index + 1).contains(&lo)
    }

    /// What can be read of the range; an error if not even the first entry can.
    fn read(
        &mut self,
        lo: u64,
        hi: u64,
        max_size: u64,
        term_of: impl Fn(u64) -> Option<u64>,
    ) -> Result<Vec<Entry>, TailError> {
        let mut out = Vec::new();
        let mut size = 0u64;
        for index in lo..hi {
            let term = term_of(index).unwrap_or_default();
            let entry = match self.get(index, term) {
                Ok(entry) => entry,
                Err(error) if out.is_empty() => return Err(error),
                Err(_) => break,
            };
            size += entry.encoded_len() as u64;
            if size > max_size && !out.is_empty() {
                break;
            }
            out.push(entry);
        }
        Ok(out)
    }

    fn get(&mut self, index: u64, term: u64) -> Result<Entry, TailError> {
        if let Some(first) = self.recent.front()
            && let Some(at) = index.checked_sub(first.index)
            && let Some(entry) = usize::try_from(at).ok().and_then(|at| self.recent.get(at))
            && entry.term == term
        {
            return Ok(entry.clone());
        }
        for record in self.records.by_ref() {
            let record = record?;
            if record.kind != RecordKind::Entry {
                continue;
            }
            // What does not decode is not the entry: the checksum covers the bytes, not their meaning.
            let Ok(entry) = Entry::decode(record.data) else {
                continue;
            };
            if entry.index == index && entry.term == term {
                self.remember(entry.clone());
                return Ok(entry);
            }
        }
        Err(TailError::Missing { index, term })
    }

    fn remember(&mut self, entry: Entry) {
        self.bytes += super::entry_size(&entry);
        self.recent.push_back(entry);
        while self.bytes > WINDOW_BYTES && self.recent.len() > 1 {
            if let Some(old) = self.recent.pop_front() {
                self.bytes -= super::entry_size(&old);
            }
        }
    }
}
