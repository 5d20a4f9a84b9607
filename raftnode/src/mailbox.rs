//! A queue that its one consumer empties in a single swap.
//!
//! The raft and the WAL thread each own one. What arrives while the thread works is one batch at its
//! next turn: that is the group commit. Two lanes share a lock: *outside* work (proposals, reads) is
//! bounded and refused when full, *inside* work (completions of what the thread itself started) is
//! always taken, since refusing it would stop the very work that empties the queue. The inside lane
//! is bounded by what is in flight.
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The outside lane holds as many items as it may.
    Full,
    /// The consumer is gone.
    Closed,
}

#[derive(Debug)]
struct Lanes<T> {
    inside: Vec<T>,
    outside: Vec<T>,
    /// Whether the consumer sleeps; only then a producer pays for a wake-up.
    sleeping: bool,
    closed: bool,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    lanes: Mutex<Lanes<T>>,
    arrived: Condvar,
    outside_limit: usize,
    /// Bound on the inside lane for what comes from elsewhere.
    inside_limit: usize,
}

impl<T> Mailbox<T> {
    /// A queue whose outside lane takes at most `outside_limit` items.
    pub(crate) fn new(outside_limit: usize) -> Self {
        Self::with_inside_limit(outside_limit, 0)
    }

    /// A queue that also takes [`offer_inside`](Self::offer_inside) while fewer than `inside_limit` items
    /// stand in the inside lane.
    pub(crate) fn with_inside_limit(outside_limit: usize, inside_limit: usize) -> Self {
        Self {
            lanes: Mutex::new(Lanes {
                inside: Vec::new(),
                outside: Vec::new(),
                sleeping: false,
                closed: false,
            }),
            arrived: Condvar::new(),
            outside_limit,
            inside_limit,
        }
    }

    /// Adds outside work.
    pub(crate) fn offer(&self, item: T) -> Result<(), Refused> {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        if lanes.outside.len() >= self.outside_limit {
            return Err(Refused::Full);
        }
        lanes.outside.push(item);
        self.wake(lanes);
        Ok(())
    }

    /// Adds work that must not wait for the outside lane, such as messages, but may be refused.
    pub(crate) fn offer_inside(&self, item: T) -> Result<(), Refused> {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        if lanes.inside.len() >= self.inside_limit {
            return Err(Refused::Full);
        }
        lanes.inside.push(item);
        self.wake(lanes);
        Ok(())
    }

    /// Adds inside work; dropped when the consumer is gone.
    pub(crate) fn push(&self, item: T) {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return;
        }
        lanes.inside.push(item);
        self.wake(lanes);
    }

    /// Adds inside work without waking the consumer: it finds it at its next turn.
    pub(crate) fn push_quietly(&self, item: T) {
        let mut lanes = self.lanes.lock();
        if !lanes.closed {
            lanes.inside.push(item);
        }
    }

    fn wake(&self, mut lanes: parking_lot::MutexGuard<'_, Lanes<T>>) {
        if std::mem::take(&mut lanes.sleeping) {
            drop(lanes);
            self.arrived.notify_one();
        }
    }

    /// Moves everything that waits into `inside` and `outside` (both must be empty), sleeping until
    /// something arrives or `deadline` passes. With `take_outside` false that lane is left alone.
    pub(crate) fn drain(
        &self,
        inside: &mut Vec<T>,
        outside: &mut Vec<T>,
        take_outside: bool,
        deadline: Option<Instant>,
    ) {
        debug_assert!(
            inside.is_empty() && outside.is_empty(),
            "the last batch was not handled"
        );
        let mut lanes = self.lanes.lock();
        loop {
            if !lanes.inside.is_empty() || (take_outside && !lanes.outside.is_empty()) {
                break;
            }
            if lanes.closed {
                return;
            }
            lanes.sleeping = true;
            match deadline {
                Some(at) => {
                    if self.arrived.wait_until(&mut lanes, at).timed_out() {
                        lanes.sleeping = false;
                        break;
                    }
                }
                None => self.arrived.wait(&mut lanes),
            }
        }
        std::mem::swap(&mut lanes.inside, inside);
        if take_outside {
            std::mem::swap(&mut lanes.outside, outside);
        }
    }

    /// Moves what waits into `inside` and `outside` without sleeping.
    pub(crate) fn take(&self, inside: &mut Vec<T>, outside: &mut Vec<T>, take_outside: bool) {
        let mut lanes = self.lanes.lock();
        inside.append(&mut lanes.inside);
        if take_outside {
            outside.append(&mut lanes.outside);
        }
    }

    /// How many items wait, inside and outside.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let lanes = self.lanes.lock();
        (lanes.inside.len(), lanes.outside.len())
    }

    /// Refuses everything from now on, hands back what still waits, and wakes the consumer.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut lanes = self.lanes.lock();
        lanes.closed = true;
        let mut left = std::mem::take(&mut lanes.inside);
        left.append(&mut lanes.outside);
        drop(lanes);
        self.arrived.notify_all();
        left
    }
}

#[cfg(test)]
mod tests;
