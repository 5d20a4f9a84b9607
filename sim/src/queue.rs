//! Virtual time: what happens next.
//!
//! One queue drives one world on one thread. Events of one instant happen in the order in which they
//! were put in, so that equal inputs give equal runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events in the order of their times.
#[derive(Debug)]
pub struct Queue<E> {
    now: u64,
    issued: u64,
    /// Time, order of arrival, slot: small, since a heap moves its elements around.
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slots: Vec<Option<E>>,
    free: Vec<usize>,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            now: 0,
            issued: 0,
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<E> Queue<E> {
    /// The time of the event that was taken out last.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Has `event` happen at `time`, or now if that has passed.
    pub fn at(&mut self, time: u64, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                self.slots.len() - 1
            }
        };
        self.issued += 1;
        self.heap
            .push(Reverse((time.max(self.now), self.issued, slot)));
    }

    /// Has `event` happen `delay` from now.
    pub fn after(&mut self, delay: u64, event: E) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// Goes on to the next event.
    pub fn next_event(&mut self) -> Option<E> {
        let Reverse((time, _, slot)) = self.heap.pop()?;
        self.now = time;
        self.free.push(slot);
        self.slots[slot].take()
    }
}

#[cfg(test)]
mod tests;
