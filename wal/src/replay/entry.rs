//! A `raftpb.Entry` out of its record, without copying.
//!
//! Entries are most of a log. Every encoder writes the four fields once and in ascending order; such
//! an entry is taken apart here, and keeps the bytes it was given. Anything else goes through the
//! general decoder.
#![deny(clippy::indexing_slicing)]
use bytes::{Buf as _, Bytes};
use prost::Message as _;
use varve_proto::raftpb::Entry;

const TYPE_TAG: u8 = 1 << 3;
const TERM_TAG: u8 = 2 << 3;
const INDEX_TAG: u8 = 3 << 3;
const DATA_TAG: u8 = 4 << 3 | 2;

/// The entry that `bytes` encode; `None` when they encode none.
#[inline]
pub(super) fn decode_entry(mut bytes: Bytes) -> Option<Entry> {
    let Some((mut entry, data_at)) = plain(&bytes) else {
        return Entry::decode(bytes).ok();
    };
    if let Some(at) = data_at {
        bytes.advance(at);
        entry.data = Some(bytes);
    }
    Some(entry)
}

/// The entry without its data, and where the data, which goes to the end, begins.
#[inline]
fn plain(bytes: &[u8]) -> Option<(Entry, Option<usize>)> {
    let mut rest = bytes;
    let kind = number(&mut rest, TYPE_TAG)?;
    let entry = Entry {
        r#type: i32::try_from(kind).ok()?,
        term: number(&mut rest, TERM_TAG)?,
        index: number(&mut rest, INDEX_TAG)?,
        data: None,
    };
    if rest.is_empty() {
        return Some((entry, None));
    }
    let len = number(&mut rest, DATA_TAG)?;
    (len == rest.len() as u64).then_some((entry, Some(bytes.len() - rest.len())))
}

/// The varint after `tag`, of up to nine bytes.
#[inline]
fn number(rest: &mut &[u8], tag: u8) -> Option<u64> {
    let (first, mut after) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, next) = after.split_first()?;
        after = next;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            *rest = after;
            return Some(value);
        }
    }
    None
}
