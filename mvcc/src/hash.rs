//! Hashes by which members compare their content; all CRC-32C, and equal to etcd's.
//!
//! `HashKV(r)` covers what a store compacted no further than `r` must hold; the hash of a compaction
//! covers what it kept, and answers `HashKV` at that very revision for as long as it is remembered; the
//! plain hash covers every bucket. Computed on the caller's thread from a view, the compaction's hash in
//! the background (docs/formats/mvcc-keys.md, "Hashes").

use std::collections::VecDeque;

use parking_lot::Mutex;
use varve_backend::{Backend, Direction, KeyRange};

use crate::error::{Error, Result};
use crate::index::IndexView;
use crate::read::ReadView;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::schema::{self, KEY, META};

/// Compaction hashes that are remembered.
const REMEMBERED: usize = 10;

/// Keys of bucket `meta` that may differ between equal members.
const VOLATILE: [&str; 3] = [
    schema::META_CONSISTENT_INDEX,
    schema::META_TERM,
    schema::META_STORAGE_VERSION,
];

/// A hash of bucket `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// The hash.
    pub hash: u32,
    /// The compaction it starts from, -1 for none.
    pub compact_revision: i64,
    /// The revision it covers.
    pub hash_revision: i64,
    /// The store's revision when asked.
    pub current_revision: i64,
}

/// The newest compaction hashes, by ascending revision.
#[derive(Debug, Default)]
pub(crate) struct CompactionHashes {
    newest: Mutex<VecDeque<HashKv>>,
}

impl CompactionHashes {
    pub(crate) fn store(&self, hash: HashKv) {
        let mut newest = self.newest.lock();
        newest.push_back(hash);
        if newest.len() > REMEMBERED {
            newest.pop_front();
        }
    }

    pub(crate) fn get(&self, revision: i64) -> Option<HashKv> {
        let newest = self.newest.lock();
        newest
            .iter()
            .find(|hash| hash.hash_revision == revision)
            .copied()
    }

    pub(crate) fn all(&self) -> Vec<HashKv> {
        self.newest.lock().iter().copied().collect()
    }

    pub(crate) fn clear(&self) {
        self.newest.lock().clear();
    }
}

fn append_row(hash: u32, key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value)
}

/// The hash of bucket `key` at `revision`, by the rules of etcd 3.4.34, 3.5.16 and 3.6.
pub(crate) fn hash_kv(view: &ReadView, revision: i64) -> Result<HashKv> {
    let (current, compacted) = (view.revision(), view.compact_revision());
    if revision > 0 && revision < compacted {
        return Err(Error::Compacted);
    }
    if revision > current {
        return Err(Error::FutureRevision);
    }
    let at = if revision == 0 { current } else { revision };
    let index = &view.published.index;
    // With nothing to keep, etcd skips nothing; of that, what a compaction under way has yet to
    // delete is left out here, so that the hash does not depend on how far it has come.
    let keeps_something = index.any_at(at);
    let mut hash = crc32c::crc32c(KEY.as_bytes());
    let range = KeyRange {
        start: RowKey::put(Revision::new(0, 0)).encode(),
        end: at
            .max(-1)
            .checked_add(1)
            .map(|end| RowKey::put(Revision::new(end, 0)).encode()),
    };
    let mut rows = view.view.scan(KEY, &range, Direction::Forward)?;
    while let Some((key, value)) = rows.next()? {
        let row = RowKey::decode(&key)?;
        if row.revision.main <= compacted {
            let kept = if keeps_something {
                is_kept(index, row, &value, at)?
            } else {
                survives(index, row, &value, compacted)?
            };
            if !kept {
                continue;
            }
            if row.tombstone && row.revision.main == compacted {
                continue;
            }
        }
        hash = append_row(hash, &key, &value);
    }
    Ok(HashKv {
        hash,
        compact_revision: compacted,
        hash_revision: at,
        current_revision: current,
    })
}

/// Whether the row is what a reader at `at` finds under its key.
fn is_kept(index: &IndexView, row: RowKey, value: &[u8], at: i64) -> Result<bool> {
    let key = &value[Record::of_row(row, value)?.key];
    let found = index.get(key, at);
    Ok(found.is_some_and(|found| found.revision == row.revision && !row.tombstone))
}

/// Whether a compaction at `at` leaves the row.
fn survives(index: &IndexView, row: RowKey, value: &[u8], at: i64) -> Result<bool> {
    let key = &value[Record::of_row(row, value)?.key];
    let newest = index.write_at(key, at);
    Ok(newest.is_some_and(|entry| entry.row() == row)
        && (!row.tombstone || row.revision.main == at))
}

/// The hash of what a compaction keeps, fed with every row up to its revision, ascending.
///
/// etcd leaves nothing out when nothing is kept. That cannot be: the compaction's own revision was
/// made by a write, and its last row stays.
#[derive(Debug)]
pub(crate) struct CompactionHasher {
    previous: i64,
    hash: u32,
}

impl CompactionHasher {
    pub(crate) fn new(previous: i64) -> Self {
        Self {
            previous,
            hash: crc32c::crc32c(KEY.as_bytes()),
        }
    }

    pub(crate) fn add(&mut self, row: RowKey, key: &[u8], value: &[u8], dies: bool) {
        let main = row.revision.main;
        let left_out = (dies && main <= self.previous) || (row.tombstone && main == self.previous);
        if !left_out {
            self.hash = append_row(self.hash, key, value);
        }
    }

    pub(crate) fn finish(self) -> u32 {
        self.hash
    }
}

/// The hash of every bucket, without the numbers that differ between equal members. Commits first.
pub(crate) fn hash_all(backend: &Backend) -> Result<u32> {
    backend.force_commit()?;
    let view = backend.view();
    let mut hash = 0;
    for bucket in schema::ALL_BUCKETS {
        if !view.has_bucket(bucket)? {
            continue;
        }
        hash = crc32c::crc32c_append(hash, bucket.as_bytes());
        let mut pairs = view.scan(bucket, &KeyRange::all(), Direction::Forward)?;
        while let Some((key, value)) = pairs.next()? {
            let volatile = bucket == META && VOLATILE.iter().any(|v| v.as_bytes() == &key[..]);
            if !volatile {
                hash = append_row(hash, &key, &value);
            }
        }
    }
    Ok(hash)
}
