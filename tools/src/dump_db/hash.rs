//! The hashes by which members compare their content, from the file alone.
//!
//! `Hash` covers every bucket; `HashKV` the rows of bucket `key` up to a revision, of those a compaction has
//! gone over only the ones it had to keep. Both are CRC-32C over names, keys and values
//! (docs/formats/mvcc-keys.md, "Hashes"); `varve-mvcc` computes the same from its index.
use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use prost::Message as _;
use varve_backend::{Bucket, Direction, KeyRange, Snapshot};
use varve_mvcc::{Revision, RowKey, schema};
use varve_proto::mvccpb::KeyValue;

use super::file::DbFile;
use super::rows::Rows;
use crate::console::Console;

/// Keys of bucket `meta` that may differ between equal members.
const VOLATILE: [&str; 3] = [
    schema::META_CONSISTENT_INDEX,
    schema::META_TERM,
    schema::META_STORAGE_VERSION,
];

/// Prints the hash of all buckets.
pub(super) fn all(file: &DbFile, console: &mut Console<'_>) -> Result<bool> {
    let hash = file.consistent(|reading| {
        let mut hash = 0;
        for bucket in reading.snapshot.buckets()? {
            hash = crc32c::crc32c_append(hash, &bucket);
            let all = KeyRange::all();
            let mut rows = reading
                .snapshot
                .scan_bucket_name(&bucket, &all, Direction::Forward)?;
            while let Some((key, value)) = rows.next()? {
                let volatile = VOLATILE.iter().any(|name| name.as_bytes() == &key[..]);
                if !(volatile && bucket == schema::META.as_bytes()) {
                    hash = append(hash, &key, &value);
                }
            }
        }
        Ok(hash)
    })?;
    writeln!(
        console.out,
        "db path: {}\nHash: {hash}",
        file.path.display()
    )?;
    Ok(true)
}

fn append(hash: u32, key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value)
}

/// Prints the hash of the key space at a revision; 0 is the newest.
///
/// A running member goes on writing: rows never change, and a compaction that would take some away is
/// noticed.
pub(super) fn kv(file: &DbFile, revision: i64, console: &mut Console<'_>) -> Result<bool> {
    let mut bounds = Bounds::read(file)?;
    let hash = loop {
        let at = bounds.resolve(revision)?;
        let hash = hash_at(file, at, bounds.compacted)?;
        let now = Bounds::read(file)?;
        if now.compacted == bounds.compacted {
            break hash;
        }
        bounds = now;
    };
    let Bounds { current, compacted } = bounds;
    let at = bounds.resolve(revision)?;
    writeln!(
        console.out,
        "db path: {}\nHash: {hash}\nhash revision: {at}\ncompact revision: {compacted}\nrevision: {current}",
        file.path.display()
    )?;
    Ok(true)
}

/// Between which revisions a store can be hashed.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The newest revision; 1 when nothing was ever written.
    current: i64,
    /// The newest compaction that was accepted, as a start finishes it; -1 when there was none.
    compacted: i64,
}

impl Bounds {
    fn read(file: &DbFile) -> Result<Self> {
        let (newest, compactions) = file.consistent(|reading| {
            let newest = {
                let mut rows =
                    reading
                        .snapshot
                        .scan(schema::KEY, &KeyRange::all(), Direction::Backward)?;
                rows.next()?.map(|(key, _)| key)
            };
            let mut compactions = Vec::new();
            for key in [
                schema::META_SCHEDULED_COMPACT,
                schema::META_FINISHED_COMPACT,
            ] {
                compactions.extend(reading.snapshot.get(schema::META, key.as_bytes())?);
            }
            Ok((newest, compactions))
        })?;
        let main = |key: Bytes| -> Result<i64> {
            let row = RowKey::decode(&key);
            let row = row.with_context(|| format!("bucket key of {}", file.path.display()))?;
            Ok(row.revision.main)
        };
        let compacted = compactions
            .into_iter()
            .map(main)
            .try_fold(-1, |a, b| b.map(|b| a.max(b)))?;
        let newest = newest.map(main).transpose()?.unwrap_or_default();
        Ok(Self {
            current: newest.max(compacted).max(1),
            compacted,
        })
    }

    /// The revision that is asked for; the refusals are etcd's.
    fn resolve(&self, revision: i64) -> Result<i64> {
        if revision > 0 && revision < self.compacted {
            bail!("mvcc: required revision has been compacted");
        }
        if revision > self.current {
            bail!("mvcc: required revision is a future revision");
        }
        Ok(if revision == 0 {
            self.current
        } else {
            revision
        })
    }
}

/// The newest row of a key.
#[derive(Clone, Copy, Debug)]
struct Newest {
    at: RowKey,
    /// Among those the compaction went over.
    compacted: Option<RowKey>,
}

fn hash_at(file: &DbFile, at: i64, compacted: i64) -> Result<u32> {
    let newest = match compacted {
        ..0 => HashMap::new(),
        _ => newest_rows(file, at, compacted)?,
    };
    // With nothing to keep, etcd leaves nothing out but what the compaction deletes.
    let keeps_something = newest.values().any(|newest| !newest.at.tombstone);
    let mut hash = crc32c::crc32c(schema::KEY.as_bytes());
    each_row(file, at, &mut |key, value, row| {
        if row.revision.main <= compacted {
            let newest = newest.get(&KeyValue::decode(value.clone())?.key);
            let kept = newest.is_some_and(|newest| {
                if keeps_something {
                    newest.at == row
                } else {
                    newest.compacted == Some(row)
                }
            });
            if !kept || row.tombstone {
                return Ok(());
            }
        }
        hash = append(hash, key, value);
        Ok(())
    })?;
    Ok(hash)
}

/// For every key the newest row up to `at`.
fn newest_rows(file: &DbFile, at: i64, compacted: i64) -> Result<HashMap<Bytes, Newest>> {
    let mut newest = HashMap::new();
    each_row(file, at, &mut |_, value, row| {
        let key = KeyValue::decode(value.clone())?.key;
        let gone_over = (row.revision.main <= compacted).then_some(row);
        match newest.get_mut(&key) {
            None => {
                // A copy: the key must not keep the page it was read from.
                let key = Bytes::copy_from_slice(&key);
                let compacted = gone_over;
                newest.insert(key, Newest { at: row, compacted });
            }
            Some(found) => {
                found.at = row;
                found.compacted = gone_over.or(found.compacted);
            }
        }
        Ok(())
    })?;
    Ok(newest)
}

/// Gets the stored key, the value, and what the key says.
type Visitor<'a> = dyn FnMut(&[u8], &Bytes, RowKey) -> Result<()> + 'a;

fn each_row(file: &DbFile, to: i64, visit: &mut Visitor<'_>) -> Result<()> {
    let bucket: Bucket = schema::KEY;
    let end = to
        .checked_add(1)
        .map(|end| RowKey::put(Revision::new(end, 0)).encode());
    let range = KeyRange {
        start: Bytes::new(),
        end,
    };
    let mut rows = Rows::new(file, bucket.as_bytes(), range, Direction::Forward);
    while let Some((key, value)) = rows.next()? {
        let place = || format!("row {} of {}", key.escape_ascii(), file.path.display());
        let row = RowKey::decode(&key).with_context(place)?;
        visit(&key, &value, row).with_context(place)?;
    }
    Ok(())
}
