//! What a storage engine is.
//!
//! Implemented by `backend-btree`, `backend-lsm` and [`MemoryEngine`](crate::MemoryEngine); called by
//! the write-behind [`Backend`](crate::Backend) (commits, on its committer thread) and by its views
//! (reads, on any thread). The numbered guarantees stand in the crate documentation.
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Batch, Bucket, Direction, KeyRange, Result};

/// Longest key an engine accepts, in bytes; the shortest has one byte. bbolt's limit.
pub const MAX_KEY_LEN: usize = 32768;

/// Longest value an engine accepts, in bytes. bbolt's limit.
pub const MAX_VALUE_LEN: usize = (1 << 31) - 2;

/// How much room an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Bytes of the store, used or free; what etcd reports as `dbSize`.
    pub total_bytes: u64,
    /// Bytes of it that hold data; what etcd reports as `dbSizeInUse`.
    pub in_use_bytes: u64,
    /// Snapshots that are alive and keep old data from being reused.
    pub open_readers: u64,
}

/// What [`Engine::reclaim`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaimed {
    /// Bytes the store took before.
    pub bytes_before: u64,
    /// Bytes it takes now.
    pub bytes_after: u64,
}

/// Named buckets of ordered byte keys with one atomic, durable commit.
pub trait Engine: Send + Sync + Debug + 'static {
    /// A view of the newest durable commit. Never waits for a commit that is being written.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>>;

    /// Applies the whole batch or nothing of it, and is durable when it returns `Ok`.
    ///
    /// One commit runs at a time; a second caller waits. After an error other than
    /// [`Invalid`](crate::ErrorKind::Invalid) the state on disk is either before or after the batch, and
    /// the engine refuses all further commits until it is opened again.
    fn commit(&self, batch: &Batch) -> Result<()>;

    /// Sizes as of the newest commit. Cheap enough to be called per request.
    fn sizes(&self) -> Sizes;

    /// A byte image, in bbolt's file format, of the newest commit. It stays consistent while commits
    /// go on.
    fn export(&self) -> Result<Box<dyn Export>>;

    /// Gives space back to the file system as far as it can without stopping readers or writers.
    fn reclaim(&self) -> Result<Reclaimed>;

    /// Called by a clean shutdown: the engine may leave behind what makes its next start cheaper. It
    /// remains usable; what it left must do no harm after further commits. Nothing depends on it, so a
    /// failure is nobody's concern.
    fn prepare_reopening(&self) {}
}

/// An immutable view of one commit.
///
/// The [`Bytes`] it hands out stay valid and unchanged after the snapshot is dropped; they may keep the
/// snapshot's space from being reused while they live.
pub trait Snapshot: Send + Sync + Debug {
    /// Names of all buckets in byte order.
    fn buckets(&self) -> Result<Vec<Bytes>>;

    /// Whether the bucket exists.
    fn has_bucket(&self, bucket: Bucket) -> Result<bool>;

    /// The value under a key; `None` when the key or the bucket is missing.
    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>>;

    /// Calls `look` with the value under a key, once, and returns `true`; `false` when the key or the
    /// bucket is missing. For those who look at a value and do not keep it: an engine may show it where
    /// it lies.
    fn get_with(&self, bucket: Bucket, key: &[u8], look: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.get(bucket, key)?;
        if let Some(value) = &value {
            look(value);
        }
        Ok(value.is_some())
    }

    /// The pairs of a range in order; none when the bucket is missing.
    fn scan(
        &self,
        bucket: Bucket,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Scan + '_>> {
        self.scan_bucket_name(bucket.as_bytes(), range, direction)
    }

    /// Calls `visitor` with the pairs of a range in order until it returns `false`. For those who look at
    /// many pairs and keep none: an engine may show them where they lie.
    fn visit(
        &self,
        bucket: Bucket,
        range: &KeyRange,
        direction: Direction,
        visitor: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()> {
        let mut scan = self.scan(bucket, range, direction)?;
        while let Some((key, value)) = scan.next()? {
            if !visitor(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// [`scan`](Self::scan) for a name that was read from the store.
    fn scan_bucket_name(
        &self,
        name: &[u8],
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Scan + '_>>;
}

/// A scan in progress.
pub trait Scan: Send {
    /// The next pair, `None` after the last. After an error the scan is over.
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>>;
}

/// A byte image of a store.
pub trait Export: Send {
    /// Length of the whole image in bytes.
    fn len(&self) -> u64;

    /// Whether the image has no bytes; a valid one always has some.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills the front of `buf` with the next bytes; 0 at the end.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize>;
}
