//! A queue that its one consumer empties in a single swap.
//!
//! The raft and the WAL thread each own one. The raft thread's is emptied by whoever takes its turn
//! (`turns`): such a thread need not wake it. What arrives while the thread works is one batch at its
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

/// What a consumer wants of the outside lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    /// Nothing for now.
    Leave,
    /// Everything.
    Take,
    /// Everything, but what was offered [unhurried](Mailbox::offer_unhurried) is no reason to wake up.
    TakeUnhurried,
}

#[derive(Debug)]
struct Lanes<T> {
    inside: Vec<T>,
    outside: Vec<T>,
    /// Items of the outside lane that were not offered unhurried.
    hurried: usize,
    /// Whether the consumer sleeps; only then a producer pays for a wake-up.
    sleeping: bool,
    /// What it sleeps for.
    wanted: Outside,
    /// Items since the last look that nobody was woken for, since whoever put them here will look.
    unannounced: usize,
    /// The consumer is to look around although nothing waits.
    nudged: bool,
    closed: bool,
}

/// Whether the consumer is woken for an item, if it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announce {
    /// Yes.
    Now,
    /// Not unless many wait by now: the caller's thread is about to work them off.
    Later,
}

/// So many unannounced items are worth a wake-up: the thread that was to look seems to be busy.
const UNANNOUNCED: usize = 64;

impl<T> Lanes<T> {
    fn has_work(&self, wanted: Outside) -> bool {
        let outside = match wanted {
            Outside::Leave => false,
            Outside::Take => !self.outside.is_empty(),
            Outside::TakeUnhurried => self.hurried > 0,
        };
        outside || !self.inside.is_empty()
    }
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
                hurried: 0,
                sleeping: false,
                wanted: Outside::Take,
                unannounced: 0,
                nudged: false,
                closed: false,
            }),
            arrived: Condvar::new(),
            outside_limit,
            inside_limit,
        }
    }

    /// Adds outside work.
    pub(crate) fn offer(&self, item: T, announce: Announce) -> Result<(), Refused> {
        self.offer_outside(item, true, announce)
    }

    /// Adds outside work that may wait until its consumer has something else to do, if it says so.
    pub(crate) fn offer_unhurried(&self, item: T, announce: Announce) -> Result<(), Refused> {
        self.offer_outside(item, false, announce)
    }

    fn offer_outside(&self, item: T, hurried: bool, announce: Announce) -> Result<(), Refused> {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        if lanes.outside.len() >= self.outside_limit {
            return Err(Refused::Full);
        }
        lanes.outside.push(item);
        lanes.hurried += usize::from(hurried);
        if hurried || lanes.wanted != Outside::TakeUnhurried {
            self.announce(lanes, announce);
        }
        Ok(())
    }

    /// Adds work that must not wait for the outside lane, such as messages, but may be refused.
    pub(crate) fn offer_inside(&self, item: T, announce: Announce) -> Result<(), Refused> {
        let mut lanes = self.lanes.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        if lanes.inside.len() >= self.inside_limit {
            return Err(Refused::Full);
        }
        lanes.inside.push(item);
        self.announce(lanes, announce);
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

    fn announce(&self, mut lanes: parking_lot::MutexGuard<'_, Lanes<T>>, announce: Announce) {
        if announce == Announce::Later {
            lanes.unannounced += 1;
            if lanes.unannounced < UNANNOUNCED {
                return;
            }
        }
        self.wake(lanes);
    }

    fn wake(&self, mut lanes: parking_lot::MutexGuard<'_, Lanes<T>>) {
        if std::mem::take(&mut lanes.sleeping) {
            drop(lanes);
            self.arrived.notify_one();
        }
    }

    /// Moves everything that waits into `inside` and `outside` (both must be empty), sleeping until
    /// something arrives that is wanted, or `deadline` passes.
    pub(crate) fn drain(
        &self,
        inside: &mut Vec<T>,
        outside: &mut Vec<T>,
        wanted: Outside,
        deadline: Option<Instant>,
    ) {
        debug_assert!(
            inside.is_empty() && outside.is_empty(),
            "the last batch was not handled"
        );
        let mut lanes = self.lanes.lock();
        loop {
            if lanes.has_work(wanted) {
                break;
            }
            if lanes.closed {
                return;
            }
            lanes.sleeping = true;
            lanes.wanted = wanted;
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
        if wanted != Outside::Leave {
            std::mem::swap(&mut lanes.outside, outside);
            lanes.hurried = 0;
        }
    }

    /// Moves what waits into `inside` and `outside` without sleeping.
    pub(crate) fn take(&self, inside: &mut Vec<T>, outside: &mut Vec<T>, take_outside: bool) {
        let mut lanes = self.lanes.lock();
        lanes.unannounced = 0;
        inside.append(&mut lanes.inside);
        if take_outside {
            outside.append(&mut lanes.outside);
            lanes.hurried = 0;
        }
    }

    /// Says what the consumer wants from now on, and tells whether such a thing waits.
    pub(crate) fn want(&self, wanted: Outside) -> bool {
        let mut lanes = self.lanes.lock();
        lanes.wanted = wanted;
        lanes.has_work(wanted)
    }

    /// Whether something waits that the consumer wants.
    pub(crate) fn is_wanted(&self) -> bool {
        let lanes = self.lanes.lock();
        lanes.has_work(lanes.wanted)
    }

    /// Sleeps until something arrives that is [wanted](Self::want), somebody [nudges](Self::nudge), or
    /// `deadline` passes. Takes nothing.
    pub(crate) fn wait(&self, deadline: Option<Instant>) {
        let mut lanes = self.lanes.lock();
        while !lanes.has_work(lanes.wanted) && !lanes.closed && !lanes.nudged {
            lanes.sleeping = true;
            match deadline {
                Some(at) => {
                    if self.arrived.wait_until(&mut lanes, at).timed_out() {
                        break;
                    }
                }
                None => self.arrived.wait(&mut lanes),
            }
        }
        lanes.sleeping = false;
        lanes.nudged = false;
    }

    /// Ends a [`wait`](Self::wait), now or the next one.
    pub(crate) fn nudge(&self) {
        let mut lanes = self.lanes.lock();
        lanes.nudged = true;
        self.wake(lanes);
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
        lanes.hurried = 0;
        drop(lanes);
        self.arrived.notify_all();
        left
    }
}

#[cfg(test)]
mod tests;
