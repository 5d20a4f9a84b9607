//! Committed batches that views still read.
//!
//! Whoever lets go of a batch last frees tens of thousands of small pieces of memory that another thread
//! allocated. Without this list that is often a reader: a view taken just before a commit outlives it. So
//! the committer keeps each batch it has committed until no view has it any more, and frees it in its own
//! time; readers only count down.
//!
//! # Invariants
//! 1. What is kept here and nowhere else is at most [`MOST`] times the batch limit, and goes with the
//!    next commit or, at rest, [`AT_MOST`] after its own: a view that is older frees its batches itself.
//! 2. Nobody makes new references to a batch that is listed: it has left the list views start from. So
//!    one that was seen without other holders stays so.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BackendOptions, Frozen};

#[cfg(test)]
mod tests;

/// How long a batch is kept for the views that read it.
const AT_MOST: Duration = Duration::from_secs(1);

/// Operations and bytes kept at most, in batch limits.
const MOST: usize = 4;

#[derive(Default)]
pub(super) struct Retired {
    /// In the order of their commits, with the time they are given up.
    batches: VecDeque<(Frozen, Instant)>,
}

impl Retired {
    /// Lists batches that views can no longer be started from.
    pub(super) fn add(&mut self, batches: Vec<Frozen>, now: Instant) {
        let due = now + AT_MOST;
        self.batches
            .extend(batches.into_iter().map(|batch| (batch, due)));
    }

    /// When the oldest batch is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.batches.front().map(|(_, due)| *due)
    }

    /// Takes out what no view reads, what is due and what is too much, the oldest first. To be dropped by
    /// the caller without a lock.
    pub(super) fn sweep(&mut self, now: Instant, options: &BackendOptions) -> Vec<Frozen> {
        let (mut ops, mut bytes) = (0, 0);
        let mut gone = Vec::new();
        // The newest first: they have the first claim on the room.
        for (batch, due) in std::mem::take(&mut self.batches).into_iter().rev() {
            let alone = Arc::strong_count(&batch.layer) == 1;
            let too_much = ops + batch.ops > options.batch_limit.saturating_mul(MOST)
                || bytes + batch.bytes > options.batch_bytes.saturating_mul(MOST);
            if alone || too_much || due <= now {
                gone.push(batch);
            } else {
                ops += batch.ops;
                bytes += batch.bytes;
                self.batches.push_front((batch, due));
            }
        }
        gone
    }
}
