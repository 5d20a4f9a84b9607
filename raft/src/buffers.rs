//! Emptied vectors, kept for the next use.
//!
//! A proposal on its way through a node takes a handful of small vectors: of entries to save, to send and
//! to apply, of messages. Asking the allocator for each costs about as much as what is done with them. The
//! core takes them from here, and gives back what it has emptied: the entries of a message that was
//! stepped, the vectors of a [`Ready`](crate::Ready) that its driver returned.
//!
//! # Invariants
//! 1. Every vector in here is empty and has room: a taken one is as good as a new one (`take` asserts it
//!    in debug builds).
//! 2. What is kept is bounded: [`KEPT`] vectors of at most [`LARGEST_BYTES`] each, of either kind. One
//!    burst of large batches must not hold memory for ever.

use varve_proto::raftpb::{Entry, Message};

/// Vectors of one kind that are kept: more than a node uses at a time.
const KEPT: usize = 8;

/// Size of the largest vector that is kept, in bytes.
const LARGEST_BYTES: usize = 32 * 1024;

/// Emptied vectors of one kind.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    free: Vec<Vec<T>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            free: Vec::with_capacity(KEPT),
        }
    }
}

impl<T> Pool<T> {
    /// An empty vector.
    pub(crate) fn take(&mut self) -> Vec<T> {
        let vector = self.free.pop().unwrap_or_default();
        debug_assert!(vector.is_empty(), "what is kept is empty");
        vector
    }

    /// Takes back a vector; what is left in it is dropped.
    pub(crate) fn give(&mut self, mut vector: Vec<T>) {
        vector.clear();
        let size = vector.capacity() * size_of::<T>();
        if size > 0 && size <= LARGEST_BYTES && self.free.len() < KEPT {
            self.free.push(vector);
        }
    }
}

/// The vectors a node works with.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) entries: Pool<Entry>,
    pub(crate) messages: Pool<Message>,
}

impl Buffers {
    /// A copy of entries; their payloads are shared.
    pub(crate) fn copy(&mut self, entries: &[Entry]) -> Vec<Entry> {
        if entries.is_empty() {
            return Vec::new();
        }
        let mut copy = self.entries.take();
        copy.extend_from_slice(entries);
        copy
    }

    /// Takes the vectors of a message that was dealt with.
    pub(crate) fn reclaim(&mut self, message: &mut Message) {
        self.entries.give(std::mem::take(&mut message.entries));
        self.messages.give(std::mem::take(&mut message.responses));
    }
}

#[cfg(test)]
mod tests;
