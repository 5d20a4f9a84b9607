//! The model engine: ordered maps in memory.
//!
//! Tests and examples put it behind [`Backend`](crate::Backend) or compare a real engine with it. A
//! commit copies the buckets it touches, so that snapshots are whole by construction; "durable" means
//! "in this process".
//!
//! # Not here
//! Speed: a commit costs time in the size of the touched buckets.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::{
    Batch, Bucket, Direction, Engine, Error, ErrorKind, Export, KeyRange, Op, Reclaimed, Result,
    Scan, Sizes, Snapshot,
};

#[cfg(test)]
mod tests;

type Pairs = BTreeMap<Bytes, Bytes>;
type Root = BTreeMap<Bytes, Arc<Pairs>>;

/// The model engine: `BTreeMap`s behind shared snapshots.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    root: RwLock<Arc<Root>>,
    writer: Mutex<Writer>,
    readers: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Writer {
    failure: Option<Error>,
    fail_next: Option<Error>,
}

impl MemoryEngine {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next commit fail with this error, as a broken disk would: nothing is applied and all
    /// later commits are refused. For tests of what stands above an engine.
    pub fn fail_next_commit(&self, error: Error) {
        self.writer.lock().fail_next = Some(error);
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let root = Arc::clone(&self.root.read());
        self.readers.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(MemorySnapshot {
            root,
            readers: Arc::clone(&self.readers),
        }))
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut writer = self.writer.lock();
        if let Some(first) = &writer.failure {
            return Err(ErrorKind::Poisoned {
                first: first.clone(),
            }
            .into());
        }
        batch.validate()?;
        if let Some(error) = writer.fail_next.take() {
            writer.failure = Some(error.clone());
            return Err(error);
        }
        let mut root = Root::clone(&self.root.read());
        for bucket in batch.buckets() {
            let name = Bytes::from_static(bucket.as_bytes());
            if batch.removes(bucket) {
                root.remove(&name);
            }
            if batch.creates(bucket) {
                root.entry(name.clone()).or_default();
            }
            if let Some(pairs) = root.get_mut(&name) {
                apply(Arc::make_mut(pairs), batch, bucket);
            }
        }
        *self.root.write() = Arc::new(root);
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        let root = Arc::clone(&self.root.read());
        let bytes: usize = root
            .values()
            .flat_map(|pairs| pairs.iter())
            .map(|(k, v)| k.len() + v.len())
            .sum();
        Sizes {
            total_bytes: bytes as u64,
            in_use_bytes: bytes as u64,
            open_readers: self.readers.load(Ordering::Relaxed),
        }
    }

    fn export(&self) -> Result<Box<dyn Export>> {
        Ok(Box::new(crate::ImageExport::new(self.snapshot()?)?))
    }

    fn reclaim(&self) -> Result<Reclaimed> {
        let bytes = self.sizes().total_bytes;
        Ok(Reclaimed {
            bytes_before: bytes,
            bytes_after: bytes,
        })
    }
}

fn apply(pairs: &mut Pairs, batch: &Batch, bucket: Bucket) {
    for (key, op) in batch.ops(bucket) {
        match op {
            Op::Put(value) => {
                pairs.insert(key.clone(), value.clone());
            }
            Op::Delete => {
                pairs.remove(key);
            }
        }
    }
}

#[derive(Debug)]
struct MemorySnapshot {
    root: Arc<Root>,
    readers: Arc<AtomicU64>,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Snapshot for MemorySnapshot {
    fn buckets(&self) -> Result<Vec<Bytes>> {
        Ok(self.root.keys().cloned().collect())
    }

    fn has_bucket(&self, bucket: Bucket) -> Result<bool> {
        Ok(self.root.contains_key(bucket.as_bytes()))
    }

    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self
            .root
            .get(bucket.as_bytes())
            .and_then(|pairs| pairs.get(key))
            .cloned())
    }

    fn scan_bucket_name(
        &self,
        name: &[u8],
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Scan + '_>> {
        let Some(pairs) = self.root.get(name).filter(|_| !range.is_empty()) else {
            return Ok(Box::new(MemoryScan {
                pairs: std::iter::empty(),
            }));
        };
        let bounds = (
            std::ops::Bound::Included(&range.start[..]),
            range.end_bound(),
        );
        let pairs = pairs.range::<[u8], _>(bounds);
        Ok(match direction {
            Direction::Forward => Box::new(MemoryScan { pairs }),
            Direction::Backward => Box::new(MemoryScan { pairs: pairs.rev() }),
        })
    }
}

struct MemoryScan<I> {
    pairs: I,
}

impl<'a, I: Iterator<Item = (&'a Bytes, &'a Bytes)> + Send> Scan for MemoryScan<I> {
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        Ok(self.pairs.next().map(|(k, v)| (k.clone(), v.clone())))
    }
}
