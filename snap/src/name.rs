//! Names of snapshot files.
use std::fmt;

/// Suffix of a snapshot.
pub(crate) const SUFFIX: &str = ".snap";
/// Suffix of a database that came with one.
pub(crate) const DB_SUFFIX: &str = ".snap.db";
const DIGITS: usize = 16;

/// Which snapshot a file holds. Ordered as the names are, by term and then by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapName {
    /// Term of the last entry the snapshot covers.
    pub term: u64,
    /// Index of that entry.
    pub index: u64,
}

impl SnapName {
    /// Takes the name of a `.snap` file apart; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        let (term, index) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        Some(Self {
            term: hex(term)?,
            index: hex(index)?,
        })
    }
}

impl fmt::Display for SnapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}{SUFFIX}", self.term, self.index)
    }
}

/// Name of the database received with the snapshot at `index`.
pub(crate) fn db_name(index: u64) -> String {
    format!("{index:016x}{DB_SUFFIX}")
}

/// Index in the name of a received database.
pub(crate) fn parse_db_name(name: &str) -> Option<u64> {
    hex(name.strip_suffix(DB_SUFFIX)?)
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
