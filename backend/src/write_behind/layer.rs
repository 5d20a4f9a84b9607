//! One batch in memory: versioned operations that views of different age can read side by side.
//!
//! Written by the holder of the guard, read by any thread. The lock is held for one operation, one
//! lookup or one chunk of a scan.
//!
//! # Invariants
//! 1. Versions of a key have strictly ascending sequence numbers.
//! 2. A frozen layer is never written again.
//! 3. `floor` is at most the prefix of every key in the layer, and falls before the operation that lowers
//!    it is published: a reader whose view includes an operation sees a floor that is not above its key.
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::ordered::{OrderedMap, prefix};
use crate::{Batch, Bucket, Direction, KeyRange, Op};

#[cfg(test)]
mod tests;

#[derive(Debug, Default)]
pub(super) struct Layer {
    buckets: RwLock<Vec<BucketLayer>>,
    floor: Floor,
}

/// The smallest prefix of a key of any bucket. Most rows a reader asks for are older than all of the
/// layer: it learns that here, from a line that is hardly ever written, and leaves the lock, which the
/// writer takes with every operation, alone.
#[derive(Debug)]
#[repr(align(128))]
struct Floor(AtomicU64);

impl Default for Floor {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Floor {
    /// Only by the writer, before the operation on `key` is published.
    fn lower_to(&self, key: &[u8]) {
        let prefix = prefix(key);
        if prefix < self.0.load(Ordering::Relaxed) {
            self.0.store(prefix, Ordering::Release);
        }
    }

    fn is_above(&self, key: &[u8]) -> bool {
        prefix(key) < self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct BucketLayer {
    bucket: Bucket,
    /// Sequence number from which on the bucket exists because of this layer.
    created: Option<u64>,
    keys: OrderedMap<Versions>,
}

/// What happened to one key, oldest first. Nearly every key is written once per batch.
#[derive(Debug)]
enum Versions {
    One(u64, Op),
    Many(Vec<(u64, Op)>),
}

impl Versions {
    /// The newest operation with a sequence number up to `seq`.
    fn at(&self, seq: u64) -> Option<&Op> {
        match self {
            Self::One(s, op) => (*s <= seq).then_some(op),
            Self::Many(all) => all.iter().rev().find(|(s, _)| *s <= seq).map(|(_, op)| op),
        }
    }

    fn newest(&self) -> &Op {
        match self {
            Self::One(_, op) => op,
            Self::Many(all) => {
                &all.last()
                    .expect("a key is listed with its first operation")
                    .1
            }
        }
    }

    fn push(&mut self, seq: u64, op: Op) {
        match self {
            Self::One(s, old) if *s == seq => *old = op,
            Self::One(s, old) => {
                let old = std::mem::replace(old, Op::Delete);
                *self = Self::Many(vec![(*s, old), (seq, op)]);
            }
            Self::Many(all) => match all.last_mut() {
                Some((s, old)) if *s == seq => *old = op,
                _ => all.push((seq, op)),
            },
        }
    }

    /// Replaces the newest operation whatever its age: older views see the new one too.
    fn replace(&mut self, op: Op) {
        match self {
            Self::One(_, old) => *old = op,
            Self::Many(all) => {
                if let Some((_, old)) = all.last_mut() {
                    *old = op;
                }
            }
        }
    }
}

/// Where a scan of a layer goes on.
pub(super) struct Resume<'a> {
    pub(super) range: &'a KeyRange,
    pub(super) direction: Direction,
    /// The last key the scan has seen.
    pub(super) after: Option<&'a Bytes>,
}

/// Entries a chunk looks at under the lock, whether visible or not.
const CHUNK_LOOKS: usize = 1024;

fn slot(buckets: &mut Vec<BucketLayer>, bucket: Bucket) -> &mut BucketLayer {
    let at = match buckets.iter().position(|b| b.bucket == bucket) {
        Some(i) => i,
        None => {
            buckets.push(BucketLayer {
                bucket,
                created: None,
                keys: OrderedMap::default(),
            });
            buckets.len() - 1
        }
    };
    &mut buckets[at]
}

impl Layer {
    pub(super) fn create_bucket(&self, bucket: Bucket, seq: u64) {
        slot(&mut self.buckets.write(), bucket)
            .created
            .get_or_insert(seq);
    }

    /// Records an operation; returns whether the key is new in this layer.
    pub(super) fn write(&self, bucket: Bucket, key: Bytes, op: Op, seq: u64) -> bool {
        self.floor.lower_to(&key);
        let mut buckets = self.buckets.write();
        let slot = slot(&mut buckets, bucket);
        if matches!(op, Op::Put(_)) {
            slot.created.get_or_insert(seq);
        }
        slot.keys.upsert(
            key,
            op,
            |old, op| old.push(seq, op),
            |op| Versions::One(seq, op),
        )
    }

    /// Like [`write`](Self::write), without keeping what older views would have seen.
    pub(super) fn write_latest(&self, bucket: Bucket, key: Bytes, op: Op, seq: u64) -> bool {
        self.floor.lower_to(&key);
        let mut buckets = self.buckets.write();
        let slot = slot(&mut buckets, bucket);
        slot.created.get_or_insert(seq);
        slot.keys
            .upsert(key, op, Versions::replace, |op| Versions::One(seq, op))
    }

    pub(super) fn has_bucket(&self, bucket: Bucket, seq: u64) -> bool {
        let buckets = self.buckets.read();
        buckets
            .iter()
            .any(|b| b.bucket == bucket && b.created.is_some_and(|c| c <= seq))
    }

    pub(super) fn bucket_names(&self, seq: u64) -> Vec<Bucket> {
        let buckets = self.buckets.read();
        buckets
            .iter()
            .filter(|b| b.created.is_some_and(|c| c <= seq))
            .map(|b| b.bucket)
            .collect()
    }

    /// What this layer says of a key; `None` when it says nothing.
    pub(super) fn get(&self, bucket: Bucket, key: &[u8], seq: u64) -> Option<Op> {
        if self.floor.is_above(key) {
            return None;
        }
        let buckets = self.buckets.read();
        buckets
            .iter()
            .find(|b| b.bucket == bucket)?
            .keys
            .get(key)?
            .at(seq)
            .cloned()
    }

    /// Answers those of `wanted` that have no answer yet and that this layer says something of. Takes the
    /// lock once.
    pub(super) fn get_many<K: AsRef<[u8]>>(
        &self,
        bucket: Bucket,
        wanted: &[K],
        seq: u64,
        answers: &mut [Option<Op>],
    ) {
        if wanted.iter().all(|key| self.floor.is_above(key.as_ref())) {
            return;
        }
        let buckets = self.buckets.read();
        let Some(slot) = buckets.iter().find(|b| b.bucket == bucket) else {
            return;
        };
        if slot.keys.is_empty() {
            return;
        }
        for (key, answer) in wanted.iter().zip(answers) {
            if answer.is_none()
                && let Some(versions) = slot.keys.get(key.as_ref())
            {
                *answer = versions.at(seq).cloned();
            }
        }
    }

    /// Whether the layer has any operation on the bucket.
    pub(super) fn touches(&self, bucket: Bucket) -> bool {
        self.buckets
            .read()
            .iter()
            .any(|b| b.bucket == bucket && !b.keys.is_empty())
    }

    /// Copies up to `want` visible operations behind the resume point into `out`. Returns the key to
    /// resume after, or `None` when the range is exhausted.
    pub(super) fn chunk(
        &self,
        bucket: Bucket,
        resume: &Resume<'_>,
        seq: u64,
        want: usize,
        out: &mut Vec<(Bytes, Op)>,
    ) -> Option<Bytes> {
        let buckets = self.buckets.read();
        let keys = &buckets.iter().find(|b| b.bucket == bucket)?.keys;
        let (start, end) = (
            Bound::Included(&resume.range.start[..]),
            resume.range.end_bound(),
        );
        let after = resume.after.map(|k| Bound::Excluded(&k[..]));
        match resume.direction {
            Direction::Forward => take(keys.range(after.unwrap_or(start), end), seq, want, out),
            Direction::Backward => {
                take(keys.range_back(start, after.unwrap_or(end)), seq, want, out)
            }
        }
    }

    /// Adds the newest operation of every key to a batch.
    pub(super) fn append_to(&self, batch: &mut Batch) {
        for b in self.buckets.read().iter() {
            if b.created.is_some() {
                batch.create_bucket(b.bucket);
            }
            for (key, versions) in b.keys.iter() {
                match versions.newest() {
                    Op::Put(value) => batch.put(b.bucket, key.clone(), value.clone()),
                    Op::Delete => batch.delete(b.bucket, key.clone()),
                }
            }
        }
    }
}

fn take<'a>(
    entries: impl Iterator<Item = (&'a Bytes, &'a Versions)>,
    seq: u64,
    want: usize,
    out: &mut Vec<(Bytes, Op)>,
) -> Option<Bytes> {
    for (looked, (key, versions)) in entries.enumerate() {
        if let Some(op) = versions.at(seq) {
            out.push((key.clone(), op.clone()));
        }
        if out.len() >= want || looked >= CHUNK_LOOKS {
            return Some(key.clone());
        }
    }
    None
}
