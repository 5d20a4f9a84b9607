//! The writer's handle.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::MutexGuard;

use super::{Published, Shared, View, Writer};
use crate::{Bucket, Direction, KeyRange, Op, Result};

/// The one writer of a [`Backend`](super::Backend), until it is ended or dropped. Operations become
/// visible to new views together, when it ends, and reach the engine in one commit.
pub struct Guard<'a> {
    shared: &'a Shared,
    writer: MutexGuard<'a, Writer>,
    published: Arc<Published>,
    seq: u64,
    ops_before: usize,
    dirty: bool,
}

impl std::fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl<'a> Guard<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let writer = shared.writer.lock();
        let (published, seq) = {
            let published = shared.published.read();
            (Arc::clone(&published.0), published.1)
        };
        let ops_before = writer.ops;
        Self {
            shared,
            writer,
            published,
            seq: seq + 1,
            ops_before,
            dirty: false,
        }
    }

    fn count(&mut self, bytes: usize) {
        self.dirty = true;
        self.writer.ops += 1;
        self.writer.bytes += bytes;
    }

    /// The key has this value from here on; a missing bucket is created.
    pub fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        self.count(key.len() + value.len());
        self.published.layers[0].write(bucket, key, Op::Put(value), self.seq);
    }

    /// The key is absent from here on.
    pub fn delete(&mut self, bucket: Bucket, key: Bytes) {
        self.count(key.len());
        self.published.layers[0].write(bucket, key, Op::Delete, self.seq);
    }

    /// Like [`put`](Self::put) for a key that is overwritten all the time (the consistent index): the
    /// open batch keeps one value, so a view that was taken after the batch's first value of this key
    /// sees the newest one. Counts towards the batch limit once per batch.
    pub fn put_latest(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        let bytes = key.len() + value.len();
        if self.published.layers[0].write_latest(bucket, key, Op::Put(value), self.seq) {
            self.count(bytes);
        }
        self.dirty = true;
    }

    /// The bucket exists from here on.
    pub fn create_bucket(&mut self, bucket: Bucket) {
        self.count(bucket.as_bytes().len());
        self.published.layers[0].create_bucket(bucket, self.seq);
    }

    /// A view that includes the operations of this guard so far (and, unlike other views, later ones).
    fn own_view(&self) -> View {
        View::new(Arc::clone(&self.published), self.seq)
    }

    /// The value under a key, own operations included.
    pub fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        self.own_view().get(bucket, key)
    }

    /// The pairs of a range, own operations included.
    pub fn scan(
        &self,
        bucket: Bucket,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>> {
        let view = self.own_view();
        let mut scan = view.scan(bucket, range, direction)?;
        let mut pairs = Vec::new();
        while let Some(pair) = scan.next()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// Marks everything up to and including this guard with a number, the raft index for example; tags
    /// must not fall. [`durable_tag`](super::Backend::durable_tag) reports it when it is durable.
    pub fn set_tag(&mut self, tag: u64) {
        self.writer.tag = self.writer.tag.max(tag);
    }

    /// Ends the guard: the same as dropping it.
    pub fn end(self) {}
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.dirty {
            self.shared.published.write().1 = self.seq;
        }
        let options = &self.shared.options;
        if self.writer.ops >= options.batch_limit || self.writer.bytes >= options.batch_bytes {
            self.shared.freeze(&mut self.writer);
            self.shared.wake.notify_one();
        } else if self.ops_before == 0 && self.writer.ops > 0 {
            self.shared.queue.lock().deadline = Some(Instant::now() + options.batch_interval);
            self.shared.wake.notify_one();
        } else if self.writer.ops == 0 && self.writer.tag > self.writer.frozen_tag {
            self.tag_without_operations();
        }
    }
}

impl Guard<'_> {
    /// A tag without operations is durable as soon as everything before it is.
    fn tag_without_operations(&mut self) {
        let mut queue = self.shared.queue.lock();
        let failed = queue.failure.is_some();
        match queue.frozen.last_mut() {
            Some(last) => last.tag = last.tag.max(self.writer.tag),
            None if !failed => {
                self.shared
                    .durable_tag
                    .store(self.writer.tag, Ordering::Release);
            }
            None => return,
        }
        self.writer.frozen_tag = self.writer.tag;
    }
}
