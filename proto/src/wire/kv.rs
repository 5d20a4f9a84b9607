//! An encoded `mvccpb.KeyValue`, read where it lies.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]

use std::ops::Range;

use super::Fields;
use crate::Error;

/// The fields of an encoded [`mvccpb::KeyValue`](crate::mvccpb::KeyValue), borrowed from its bytes.
///
/// Fields that are absent are zero or empty, of several occurrences the last counts, unknown fields
/// are skipped: as a decoder would have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyValueView<'a> {
    /// The key; empty only in the marker that a revision bump leaves.
    pub key: &'a [u8],
    /// Main revision of the key's creation.
    pub create_revision: i64,
    /// Main revision of this version.
    pub mod_revision: i64,
    /// Writes since creation.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// The lease; 0 for none.
    pub lease: i64,
    key_start: usize,
    value_start: usize,
}

impl<'a> KeyValueView<'a> {
    /// Reads the fields of `record`. Time grows with their number, not with their size.
    pub fn parse(record: &'a [u8]) -> Result<Self, Error> {
        let mut view = Self::default();
        for field in Fields::new(record) {
            let field = field?;
            match field.number {
                1 => {
                    view.key = field.bytes()?;
                    view.key_start = field.range()?.start;
                }
                2 => view.create_revision = field.int64()?,
                3 => view.mod_revision = field.int64()?,
                4 => view.version = field.int64()?,
                5 => {
                    view.value = field.bytes()?;
                    view.value_start = field.range()?.start;
                }
                6 => view.lease = field.int64()?,
                _ => {}
            }
        }
        Ok(view)
    }

    /// Where in the record the key stands, to slice the owning `Bytes` with.
    pub const fn key_range(&self) -> Range<usize> {
        self.key_start..self.key_start + self.key.len()
    }

    /// Where in the record the value stands.
    pub const fn value_range(&self) -> Range<usize> {
        self.value_start..self.value_start + self.value.len()
    }
}
