//! What readers get: a consistent picture over memory and engine.
use std::sync::Arc;

use bytes::Bytes;

use super::Published;
use super::layer::{Layer, Resume};
use crate::{Bucket, Direction, KeyRange, Op, Result, Scan};

/// Everything that was written before it was taken, and nothing after (keys written with
/// [`Guard::put_latest`](super::Guard::put_latest) excepted). May be kept and sent across threads; while
/// it lives it keeps its batches in memory and its snapshot in the engine.
#[derive(Clone)]
pub struct View {
    published: Arc<Published>,
    seq: u64,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl View {
    pub(super) fn new(published: Arc<Published>, seq: u64) -> Self {
        Self { published, seq }
    }

    /// The value under a key; `None` when the key or the bucket is missing.
    pub fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        for layer in &self.published.layers {
            match layer.get(bucket, key, self.seq) {
                Some(Op::Put(value)) => return Ok(Some(value)),
                Some(Op::Delete) => return Ok(None),
                None => {}
            }
        }
        self.published.snapshot.get(bucket, key)
    }

    /// Calls `look` with the value under a key, once, and returns `true`; `false` when the key or the
    /// bucket is missing. Cheaper than [`get`](Self::get) for those who do not keep the value.
    pub fn get_with(
        &self,
        bucket: Bucket,
        key: &[u8],
        look: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        for layer in &self.published.layers {
            match layer.get(bucket, key, self.seq) {
                Some(Op::Put(value)) => {
                    look(&value);
                    return Ok(true);
                }
                Some(Op::Delete) => return Ok(false),
                None => {}
            }
        }
        self.published.snapshot.get_with(bucket, key, look)
    }

    /// The values under several keys, each as [`get`](Self::get) would find it. A batch that is not yet
    /// committed is asked once for all of them, which matters beside a busy writer.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        bucket: Bucket,
        keys: &[K],
    ) -> Result<Vec<Option<Bytes>>> {
        let mut answers: Vec<Option<Op>> = vec![None; keys.len()];
        for layer in &self.published.layers {
            layer.get_many(bucket, keys, self.seq, &mut answers);
        }
        let snapshot = &self.published.snapshot;
        let values = keys.iter().zip(answers).map(|(key, answer)| match answer {
            Some(Op::Put(value)) => Ok(Some(value)),
            Some(Op::Delete) => Ok(None),
            None => snapshot.get(bucket, key.as_ref()),
        });
        values.collect()
    }

    /// The pairs of a range in order. No lock is held between two calls of
    /// [`ViewScan::next`].
    pub fn scan(
        &self,
        bucket: Bucket,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<ViewScan<'_>> {
        let layers = self
            .published
            .layers
            .iter()
            .filter(|layer| layer.touches(bucket))
            .map(|layer| LayerScan::new(layer))
            .collect();
        let engine = self.published.snapshot.scan(bucket, range, direction)?;
        Ok(ViewScan {
            layers,
            engine,
            engine_next: None,
            engine_done: false,
            bucket,
            range: range.clone(),
            direction,
            seq: self.seq,
        })
    }

    /// Calls `visitor` with the pairs of a range in order until it returns `false`; cheaper than a scan
    /// for those who keep no pair.
    pub fn visit(
        &self,
        bucket: Bucket,
        range: &KeyRange,
        direction: Direction,
        visitor: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()> {
        if !self
            .published
            .layers
            .iter()
            .any(|layer| layer.touches(bucket))
        {
            return self
                .published
                .snapshot
                .visit(bucket, range, direction, visitor);
        }
        let mut scan = self.scan(bucket, range, direction)?;
        while let Some((key, value)) = scan.next()? {
            if !visitor(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// Whether the bucket exists.
    pub fn has_bucket(&self, bucket: Bucket) -> Result<bool> {
        if self
            .published
            .layers
            .iter()
            .any(|layer| layer.has_bucket(bucket, self.seq))
        {
            return Ok(true);
        }
        self.published.snapshot.has_bucket(bucket)
    }

    /// Names of all buckets in byte order.
    pub fn buckets(&self) -> Result<Vec<Bytes>> {
        let mut names = self.published.snapshot.buckets()?;
        for layer in &self.published.layers {
            let fresh = layer.bucket_names(self.seq);
            names.extend(fresh.into_iter().map(|b| Bytes::from_static(b.as_bytes())));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// A scan over a view: the layers and the engine merged, newer ones hiding older ones.
pub struct ViewScan<'a> {
    layers: Vec<LayerScan<'a>>,
    engine: Box<dyn Scan + 'a>,
    engine_next: Option<(Bytes, Bytes)>,
    engine_done: bool,
    bucket: Bucket,
    range: KeyRange,
    direction: Direction,
    seq: u64,
}

impl std::fmt::Debug for ViewScan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewScan")
            .field("bucket", &self.bucket)
            .field("range", &self.range)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl ViewScan<'_> {
    /// The next pair, `None` after the last. After an error the scan is over.
    #[expect(
        clippy::should_implement_trait,
        reason = "an Iterator's item would nest Result"
    )]
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        if self.layers.is_empty() {
            return self.engine.next();
        }
        loop {
            if self.engine_next.is_none() && !self.engine_done {
                self.engine_next = self.engine.next()?;
                self.engine_done = self.engine_next.is_none();
            }
            for layer in &mut self.layers {
                layer.fill(self.bucket, &self.range, self.direction, self.seq);
            }
            let Some(key) = self.first_key() else {
                return Ok(None);
            };
            // Everybody who stands at this key steps over it; the newest one decides.
            let mut decided: Option<Op> = None;
            for layer in &mut self.layers {
                if layer.peek().is_some_and(|k| *k == key) {
                    let op = layer.pop();
                    decided = decided.or(op);
                }
            }
            let stored = match &self.engine_next {
                Some((k, _)) if *k == key => self.engine_next.take(),
                _ => None,
            };
            match (decided, stored) {
                (Some(Op::Put(value)), _) => return Ok(Some((key, value))),
                (Some(Op::Delete), _) => {}
                (None, stored) => return Ok(stored),
            }
        }
    }

    /// The key that comes next in the direction of the scan.
    fn first_key(&self) -> Option<Bytes> {
        let keys = self
            .layers
            .iter()
            .filter_map(LayerScan::peek)
            .chain(self.engine_next.as_ref().map(|(key, _)| key));
        match self.direction {
            Direction::Forward => keys.min().cloned(),
            Direction::Backward => keys.max().cloned(),
        }
    }
}

/// Fetch sizes grow from a single lookup's need to a long scan's.
const FIRST_CHUNK: usize = 4;
const LAST_CHUNK: usize = 256;

/// A scan over one layer that copies a chunk at a time.
struct LayerScan<'a> {
    layer: &'a Layer,
    /// Reversed: the next operation is at the end.
    buffer: Vec<(Bytes, Op)>,
    after: Option<Bytes>,
    exhausted: bool,
    chunk: usize,
}

impl<'a> LayerScan<'a> {
    fn new(layer: &'a Layer) -> Self {
        Self {
            layer,
            buffer: Vec::new(),
            after: None,
            exhausted: false,
            chunk: FIRST_CHUNK,
        }
    }

    fn fill(&mut self, bucket: Bucket, range: &KeyRange, direction: Direction, seq: u64) {
        while self.buffer.is_empty() && !self.exhausted {
            let resume = Resume {
                range,
                direction,
                after: self.after.as_ref(),
            };
            let next = self
                .layer
                .chunk(bucket, &resume, seq, self.chunk, &mut self.buffer);
            self.exhausted = next.is_none();
            self.after = next;
            self.chunk = (self.chunk * 4).min(LAST_CHUNK);
            self.buffer.reverse();
        }
    }

    fn peek(&self) -> Option<&Bytes> {
        self.buffer.last().map(|(key, _)| key)
    }

    fn pop(&mut self) -> Option<Op> {
        self.buffer.pop().map(|(_, op)| op)
    }
}
