//! Which keys a scan visits, and in which order.
use std::ops::Bound;

use bytes::Bytes;

/// A half-open range of keys, compared bytewise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key that may be returned.
    pub start: Bytes,
    /// First key past the range; `None` means up to the last key.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const fn all() -> Self {
        Self {
            start: Bytes::new(),
            end: None,
        }
    }

    /// Every key at or after `start`.
    pub const fn from(start: Bytes) -> Self {
        Self { start, end: None }
    }

    /// The keys `k` with `start <= k < end`; empty when `end <= start`.
    pub const fn range(start: Bytes, end: Bytes) -> Self {
        Self {
            start,
            end: Some(end),
        }
    }

    /// Exactly one key: its successor in byte order is the key with a zero byte appended.
    pub fn single(key: Bytes) -> Self {
        let mut end = Vec::with_capacity(key.len() + 1);
        end.extend_from_slice(&key);
        end.push(0);
        Self {
            start: key,
            end: Some(Bytes::from(end)),
        }
    }

    /// Whether the key lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// The end as a [`Bound`] over borrowed bytes.
    pub fn end_bound(&self) -> Bound<&[u8]> {
        self.end
            .as_ref()
            .map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]))
    }
}

/// Order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys, beginning at the start of the range.
    Forward,
    /// Descending keys, beginning with the last key of the range.
    Backward,
}
