//! Entries: what identifies one, what it weighs, and when a run of them is well formed.

use std::fmt;

use varve_proto::raftpb::Entry;

use crate::ids::{Index, Term};

/// Identifies an entry: a term has one leader, and a leader never issues two entries with one index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct EntryId {
    pub(crate) term: Term,
    pub(crate) index: Index,
}

impl EntryId {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            term: Term::new(entry.term),
            index: Index::new(entry.index),
        }
    }
}

/// `2/17`
impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.term, self.index)
    }
}

/// Bytes of the varint of `value`.
fn varint_len(value: u64) -> u64 {
    // One byte holds seven bits; zero takes one byte too.
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

/// Bytes of an entry as protobuf, all scalars present: what message size limits count.
pub(crate) fn encoded_size(entry: &Entry) -> u64 {
    // A negative enum value is sign-extended to ten bytes.
    let kind = i64::from(entry.r#type).cast_unsigned();
    let scalars = 3 + varint_len(kind) + varint_len(entry.term) + varint_len(entry.index);
    let data = entry.data.as_ref().map_or(0, |data| {
        let len = data.len() as u64;
        1 + varint_len(len) + len
    });
    scalars + data
}

/// Sum of [`encoded_size`].
pub(crate) fn encoded_size_of(entries: &[Entry]) -> u64 {
    entries.iter().map(encoded_size).sum()
}

/// Bytes of an entry's payload. An entry without payload, such as the one that opens a term, weighs
/// nothing: limits on payload can never refuse it.
pub(crate) fn payload_size(entry: &Entry) -> u64 {
    entry.data.as_ref().map_or(0, |data| data.len() as u64)
}

/// Sum of [`payload_size`].
pub(crate) fn payload_size_of(entries: &[Entry]) -> u64 {
    entries.iter().map(payload_size).sum()
}

/// How many of the leading entries stay within `max_size` bytes; one at least, if there is any.
pub(crate) fn prefix_within(entries: &[Entry], max_size: u64) -> usize {
    let mut size = 0_u64;
    for (at, entry) in entries.iter().enumerate() {
        size = size.saturating_add(encoded_size(entry));
        if size > max_size && at > 0 {
            return at;
        }
    }
    entries.len()
}

/// Why a run of entries cannot be part of any log, or `None` if it can:
/// indexes are consecutive after `previous`, terms do not decrease, none is beyond the leader's.
pub(crate) fn malformed_run(
    leader_term: Term,
    previous: EntryId,
    entries: &[Entry],
) -> Option<&'static str> {
    let mut before = previous;
    for entry in entries {
        let id = EntryId::of(entry);
        if id.index.since(before.index) != Some(1) {
            return Some("entries are not consecutive");
        }
        if id.term < before.term {
            return Some("terms of entries decrease");
        }
        before = id;
    }
    (before.term > leader_term).then_some("an entry is of a later term than its leader")
}

#[cfg(test)]
mod tests;
