//! The applied index, and who waits for it.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

type Waiter = Box<dyn FnOnce() + Send>;

/// Rises with the apply thread; others read it or wait for it.
#[derive(Default)]
pub struct AppliedIndex {
    value: AtomicU64,
    /// How many wait; lets the apply thread skip the lock when nobody does.
    waiting: AtomicUsize,
    waiters: Mutex<BTreeMap<u64, Vec<Waiter>>>,
}

impl std::fmt::Debug for AppliedIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AppliedIndex").field(&self.get()).finish()
    }
}

impl AppliedIndex {
    /// The index of the last applied entry.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::SeqCst)
    }

    /// Calls `then` once the index has reached `index`: at once, or on the apply thread.
    pub fn when(&self, index: u64, then: Waiter) {
        if self.get() >= index {
            return then();
        }
        let mut waiters = self.waiters.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // The index may have risen before the count was seen; `advance` takes the lock after storing.
        if self.get() >= index {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            drop(waiters);
            return then();
        }
        waiters.entry(index).or_default().push(then);
    }

    /// Raises the index and calls whoever waited for it.
    pub(crate) fn advance(&self, index: u64) {
        self.value.fetch_max(index, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let due = {
            let mut waiters = self.waiters.lock();
            let later = waiters.split_off(&(index + 1));
            std::mem::replace(&mut *waiters, later)
        };
        for waiter in due.into_values().flatten() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            waiter();
        }
    }
}

#[cfg(test)]
mod tests;
