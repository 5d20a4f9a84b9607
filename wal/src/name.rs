//! Names of segments: `<sequence>-<index>.wal`, both numbers as 16 hexadecimal digits.
use std::fmt;
use std::path::{Path, PathBuf};

/// Extension of a segment.
pub(crate) const EXTENSION: &str = ".wal";
const DIGITS: usize = 16;

/// Which segment, and from which raft index on it may hold entries. Ordered by sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Position among the segments, from 0.
    pub sequence: u64,
    /// Lowest index of an entry that may be in it: one past the last index saved when it was cut.
    pub index: u64,
}

impl SegmentName {
    /// Name of the first segment of a log.
    pub const FIRST: Self = Self {
        sequence: 0,
        index: 0,
    };

    /// Takes a file name apart; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        let numbers = name.strip_suffix(EXTENSION)?;
        let (sequence, index) = numbers.split_once('-')?;
        Some(Self {
            sequence: hex(sequence)?,
            index: hex(index)?,
        })
    }

    /// The segment after this one when the log ends at `last_index`; `None` past 2^64.
    pub(crate) fn after(self, last_index: u64) -> Option<Self> {
        let sequence = self.sequence.checked_add(1)?;
        Some(Self {
            sequence,
            index: last_index.checked_add(1)?,
        })
    }

    /// Path of the segment in `dir`.
    pub fn path_in(self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}{EXTENSION}", self.sequence, self.index)
    }
}

/// Exactly sixteen hexadecimal digits, no sign.
fn hex(digits: &str) -> Option<u64> {
    let plain = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if plain {
        u64::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
