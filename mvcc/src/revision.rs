//! Revisions, and the keys of the `key` bucket made of them.
//!
//! Called by everything in this crate, on any thread.
//!
//! # Layout
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | main revision, big endian |
//! | 8 | 1 | `_` |
//! | 9 | 8 | sub revision, big endian |
//! | 17 | 0 or 1 | `t` when the record is a tombstone |
//!
//! Both numbers are non-negative, so the order of the bytes is the order of the revisions
//! (docs/formats/mvcc-keys.md).

use std::fmt;

use bytes::Bytes;

use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

const MAIN_END: usize = 8;
const SUB_START: usize = MAIN_END + 1;
const PUT_LEN: usize = SUB_START + 8;
const TOMBSTONE_LEN: usize = PUT_LEN + 1;
const _: () = assert!(PUT_LEN == 17 && TOMBSTONE_LEN == 18);

const SEPARATOR: u8 = b'_';
const TOMBSTONE_MARK: u8 = b't';

/// When a write happened: the transaction's number and the operation's number inside it.
///
/// A fresh store stands at main revision 1; its first write has main 2, sub 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Number of the write transaction.
    pub main: i64,
    /// Number of the change inside the transaction, from 0.
    pub sub: i64,
}

impl Revision {
    /// A revision from its two numbers.
    pub const fn new(main: i64, sub: i64) -> Self {
        Self { main, sub }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

/// Key of one row of the `key` bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Revision of the row.
    pub revision: Revision,
    /// Whether the row records a deletion.
    pub tombstone: bool,
}

impl RowKey {
    /// Row of a put.
    pub const fn put(revision: Revision) -> Self {
        Self {
            revision,
            tombstone: false,
        }
    }

    /// Row of a deletion.
    pub const fn tombstone(revision: Revision) -> Self {
        Self {
            revision,
            tombstone: true,
        }
    }

    /// The stored key, in a buffer on the stack.
    pub(crate) fn to_array(self) -> RowKeyBytes {
        let mut bytes = [0; TOMBSTONE_LEN];
        bytes[..MAIN_END].copy_from_slice(&self.revision.main.to_be_bytes());
        bytes[MAIN_END] = SEPARATOR;
        bytes[SUB_START..PUT_LEN].copy_from_slice(&self.revision.sub.to_be_bytes());
        bytes[PUT_LEN] = TOMBSTONE_MARK;
        RowKeyBytes {
            bytes,
            len: if self.tombstone {
                TOMBSTONE_LEN
            } else {
                PUT_LEN
            },
        }
    }

    /// The stored key.
    pub fn encode(self) -> Bytes {
        Bytes::copy_from_slice(self.to_array().as_ref())
    }

    /// Reads a stored key. [`Error::BadRowKey`] when the length, a mark or a sign is wrong.
    pub fn decode(key: &[u8]) -> Result<Self> {
        let bad = |what| Error::BadRowKey {
            key: Bytes::copy_from_slice(key),
            what,
        };
        let tombstone = match key.len() {
            PUT_LEN => false,
            TOMBSTONE_LEN if key[PUT_LEN] == TOMBSTONE_MARK => true,
            TOMBSTONE_LEN => return Err(bad("expected the mark 't' at offset 17")),
            _ => return Err(bad("expected 17 or 18 bytes")),
        };
        if key[MAIN_END] != SEPARATOR {
            return Err(bad("expected the separator '_' at offset 8"));
        }
        let number = |at: usize| {
            let bytes = key[at..at + 8].try_into().expect("a slice of eight bytes");
            i64::from_be_bytes(bytes)
        };
        let revision = Revision::new(number(0), number(SUB_START));
        if revision.main < 0 || revision.sub < 0 {
            return Err(bad("expected revisions that are not negative"));
        }
        Ok(Self {
            revision,
            tombstone,
        })
    }
}

/// A row key on the stack.
pub(crate) struct RowKeyBytes {
    bytes: [u8; TOMBSTONE_LEN],
    len: usize,
}

impl AsRef<[u8]> for RowKeyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
