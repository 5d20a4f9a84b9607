//! The operations of one commit.
//!
//! Built by the committer thread of [`Backend`](crate::Backend) or by hand (tools, tests); read by
//! engines. Operations are kept sorted by bucket and key, and the last one on a key wins, so an engine
//! can apply a batch in one pass.
use bytes::Bytes;

use crate::Bucket;
use crate::ordered::OrderedMap;

#[cfg(test)]
mod tests;

/// What happens to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The key has this value afterwards.
    Put(Bytes),
    /// The key is absent afterwards.
    Delete,
}

/// The operations of one commit.
#[derive(Debug, Default)]
pub struct Batch {
    buckets: Vec<BucketOps>,
    /// The bucket of the operation before: mostly that of the next one too.
    last: usize,
    bytes: usize,
    /// An operation has a key or a value of an impossible length.
    unfit: bool,
}

#[derive(Debug)]
struct BucketOps {
    bucket: Bucket,
    removes: bool,
    creates: bool,
    /// A key was to be deleted, now or before another operation on it.
    deletes: bool,
    ops: OrderedMap<Op>,
}

fn cost(op: &Op) -> usize {
    match op {
        Op::Put(value) => value.len(),
        Op::Delete => 0,
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    fn slot(&mut self, bucket: Bucket) -> &mut BucketOps {
        let is_last = |b: &BucketOps| std::ptr::eq(b.bucket.name(), bucket.name());
        if !self.buckets.get(self.last).is_some_and(is_last) {
            self.last = self.place(bucket);
        }
        &mut self.buckets[self.last]
    }

    /// Where a bucket stands, or is put.
    fn place(&mut self, bucket: Bucket) -> usize {
        match self.buckets.binary_search_by(|b| b.bucket.cmp(&bucket)) {
            Ok(i) => i,
            Err(i) => {
                let fresh = BucketOps {
                    bucket,
                    removes: false,
                    creates: false,
                    deletes: false,
                    ops: OrderedMap::default(),
                };
                self.buckets.insert(i, fresh);
                i
            }
        }
    }

    fn find(&self, bucket: Bucket) -> Option<&BucketOps> {
        let at = self
            .buckets
            .binary_search_by(|b| b.bucket.cmp(&bucket))
            .ok()?;
        Some(&self.buckets[at])
    }

    /// The bucket exists afterwards. No effect on one that exists.
    pub fn create_bucket(&mut self, bucket: Bucket) {
        self.slot(bucket).creates = true;
    }

    /// The bucket and all it held before, in the store and in this batch, is gone. Later operations of
    /// the same batch on it start from nothing.
    pub fn delete_bucket(&mut self, bucket: Bucket) {
        let slot = self.slot(bucket);
        slot.removes = true;
        slot.creates = false;
        let freed: usize = slot.ops.iter().map(|(k, op)| k.len() + cost(op)).sum();
        slot.ops.clear();
        self.bytes -= freed;
    }

    /// The key has this value afterwards; the bucket is created when it is missing.
    pub fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        self.push(bucket, key, Op::Put(value));
    }

    /// The key is absent afterwards. Deleting what does not exist is no error and creates no bucket.
    pub fn delete(&mut self, bucket: Bucket, key: Bytes) {
        self.push(bucket, key, Op::Delete);
    }

    fn push(&mut self, bucket: Bucket, key: Bytes, op: Op) {
        let (key_len, added) = (key.len(), cost(&op));
        self.unfit |= !fits_key(&key) || added > crate::MAX_VALUE_LEN;
        let mut replaced = 0;
        let slot = self.slot(bucket);
        match op {
            Op::Put(_) => slot.creates = true,
            Op::Delete => slot.deletes = true,
        }
        let new = slot.ops.upsert(
            key,
            op,
            |old, op| {
                replaced = cost(old);
                *old = op;
            },
            |op| op,
        );
        self.bytes = self.bytes + added - replaced + if new { key_len } else { 0 };
    }

    /// The buckets this batch touches, in order of their names.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().map(|b| b.bucket)
    }

    /// Whether the bucket's former content goes away before the operations apply.
    pub fn removes(&self, bucket: Bucket) -> bool {
        self.find(bucket).is_some_and(|b| b.removes)
    }

    /// Whether the bucket must exist afterwards.
    pub fn creates(&self, bucket: Bucket) -> bool {
        self.find(bucket).is_some_and(|b| b.creates)
    }

    /// The operations on one bucket in key order, one per key.
    pub fn ops(&self, bucket: Bucket) -> impl Iterator<Item = (&Bytes, &Op)> {
        self.find(bucket).into_iter().flat_map(|b| b.ops.iter())
    }

    /// The same as one slice, if the keys came in ascending order and none was to be deleted.
    pub fn ascending_puts(&self, bucket: Bucket) -> Option<&[(Bytes, Op)]> {
        let ops = self.find(bucket).filter(|b| !b.deletes);
        ops.and_then(|b| b.ops.as_run())
    }

    /// Makes room for so many operations on a bucket, of keys that come in ascending order. No more than a
    /// hint: it saves moving what is there while the batch grows.
    pub fn reserve(&mut self, bucket: Bucket, operations: usize) {
        self.slot(bucket).ops.reserve(operations);
    }

    /// Number of keys of one bucket with an operation.
    pub fn ops_len(&self, bucket: Bucket) -> usize {
        self.find(bucket).map_or(0, |b| b.ops.len())
    }

    /// Number of keys with an operation, over all buckets.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|b| b.ops.len()).sum()
    }

    /// Whether committing this batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.buckets
            .iter()
            .all(|b| !b.creates && !b.removes && b.ops.is_empty())
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks what every engine demands of its input: names and keys of 1 to
    /// [`MAX_KEY_LEN`](crate::MAX_KEY_LEN) bytes, values of at most
    /// [`MAX_VALUE_LEN`](crate::MAX_VALUE_LEN). Engines call it before they write anything.
    pub fn validate(&self) -> crate::Result<()> {
        for b in &self.buckets {
            check_key("bucket name", b.bucket.as_bytes())?;
            if !self.unfit {
                continue;
            }
            for (key, op) in b.ops.iter() {
                check_key("key", key)?;
                if cost(op) > crate::MAX_VALUE_LEN {
                    return Err(crate::Error::invalid(format!(
                        "value of {} bytes in bucket {}, at most {} are possible",
                        cost(op),
                        b.bucket,
                        crate::MAX_VALUE_LEN
                    )));
                }
            }
        }
        Ok(())
    }
}

fn fits_key(key: &[u8]) -> bool {
    (1..=crate::MAX_KEY_LEN).contains(&key.len())
}

fn check_key(what: &str, key: &[u8]) -> crate::Result<()> {
    if !fits_key(key) {
        return Err(crate::Error::invalid(format!(
            "{what} of {} bytes, 1 to {} are possible",
            key.len(),
            crate::MAX_KEY_LEN
        )));
    }
    Ok(())
}
