//! Keys that may lose a revision once a compaction gets there, in the order of the revisions.
//!
//! Appended to by each write that makes an older one useless, taken from at the front by compactions;
//! both under the writer's lock. Keys stand in chunks of bytes, each written as what it does not share
//! with the key before: a queued revision costs no allocation, and mostly less than its key.
//!
//! # Layout
//!
//! An entry of a chunk, all numbers varints:
//!
//! | field | meaning |
//! |---|---|
//! | revision | main revision, less that of the entry before |
//! | shared | 0: a long key, the next in `long`. Else one more than the bytes shared with the key before |
//! | rest | number of bytes that follow (not for a long key) |
//! | bytes | the rest of the key |
//!
//! The first entry of a chunk stands behind revision 0 and the empty key, so a chunk is read by itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use prost::encoding::{decode_varint, encode_varint};

use super::keys::common_prefix_len;

#[cfg(test)]
mod tests;

/// Bytes after which a chunk is full.
const CHUNK_BYTES: usize = 4096;
/// Keys from this length on are kept once, however many entries name them.
const LONG_KEY: usize = 128;

/// A queue of main revisions, ascending, each with a key.
#[derive(Debug, Default)]
pub(super) struct DueQueue {
    chunks: VecDeque<Vec<u8>>,
    /// Behind the last entry of the last chunk.
    written: Cursor,
    /// In front of the first entry of the first chunk.
    read: Cursor,
    /// Offset of that entry.
    read_at: usize,
    /// Keys of the entries that stand for long ones, in order.
    long: VecDeque<Arc<[u8]>>,
    /// The same, each once.
    known: BTreeSet<Arc<[u8]>>,
}

/// What the entry before said.
#[derive(Debug, Default)]
struct Cursor {
    main: i64,
    key: Vec<u8>,
}

impl Cursor {
    fn clear(&mut self) {
        self.main = 0;
        self.key.clear();
    }
}

/// Reads a number this queue wrote.
fn number(rest: &mut &[u8]) -> u64 {
    decode_varint(rest).expect("the queue wrote it")
}

fn length(rest: &mut &[u8]) -> usize {
    usize::try_from(number(rest)).expect("it was a length before")
}

impl DueQueue {
    /// Adds a key; `main` is not smaller than the one before.
    pub(super) fn push(&mut self, main: i64, key: &[u8]) {
        if self.chunks.back().is_none_or(|c| c.len() >= CHUNK_BYTES) {
            // Room for a last entry that is longer than most.
            self.chunks.push_back(Vec::with_capacity(CHUNK_BYTES + 64));
            self.written.clear();
        }
        let chunk = self.chunks.back_mut().expect("just added");
        let last = &mut self.written;
        let step = main
            .checked_sub(last.main)
            .and_then(|s| u64::try_from(s).ok());
        encode_varint(step.expect("revisions ascend"), chunk);
        last.main = main;
        if key.len() >= LONG_KEY {
            encode_varint(0, chunk);
            self.long.push_back(remember(&mut self.known, key));
            return;
        }
        let shared = common_prefix_len(&last.key, key);
        encode_varint(shared as u64 + 1, chunk);
        encode_varint((key.len() - shared) as u64, chunk);
        chunk.extend_from_slice(&key[shared..]);
        last.key.truncate(shared);
        last.key.extend_from_slice(&key[shared..]);
    }

    /// Takes the first key if its revision passes.
    pub(super) fn pop_if(&mut self, passes: impl FnOnce(i64) -> bool) -> Option<Box<[u8]>> {
        let chunk = self.chunks.front()?;
        let mut rest = &chunk[self.read_at..];
        let step =
            i64::try_from(number(&mut rest)).expect("it was a difference of revisions before");
        let main = self.read.main + step;
        if !passes(main) {
            return None;
        }
        self.read.main = main;
        let key = match length(&mut rest) {
            0 => {
                let key = self.long.pop_front().expect("one for each such entry");
                // Ours and that of the set: nobody else names it.
                if Arc::strong_count(&key) == 2 {
                    self.known.remove(&key);
                }
                key[..].into()
            }
            shared => {
                let len = length(&mut rest);
                self.read.key.truncate(shared - 1);
                self.read.key.extend_from_slice(&rest[..len]);
                rest = &rest[len..];
                self.read.key[..].into()
            }
        };
        self.read_at = chunk.len() - rest.len();
        if rest.is_empty() {
            self.chunks.pop_front();
            self.read.clear();
            self.read_at = 0;
        }
        Some(key)
    }

    /// Gives back what a large compaction left unused.
    pub(super) fn shrink(&mut self) {
        fn shrink<T>(queue: &mut VecDeque<T>) {
            if queue.capacity() / 4 > queue.len() {
                queue.shrink_to(queue.len() * 2);
            }
        }
        shrink(&mut self.chunks);
        shrink(&mut self.long);
    }

    /// Memory of the queue, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Vec::capacity).sum();
        let long: usize = self.known.iter().map(|key| key.len() + 32).sum();
        chunks
            + long
            + self.chunks.capacity() * size_of::<Vec<u8>>()
            + self.long.capacity() * size_of::<Arc<[u8]>>()
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// The shared copy of a long key.
fn remember(known: &mut BTreeSet<Arc<[u8]>>, key: &[u8]) -> Arc<[u8]> {
    if let Some(key) = known.get(key) {
        return Arc::clone(key);
    }
    let key: Arc<[u8]> = key.into();
    known.insert(Arc::clone(&key));
    key
}
