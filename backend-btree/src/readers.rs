//! Who still reads which commit.
//!
//! A snapshot registers when it is taken and leaves when it and all bytes that borrow from it are gone.
//! The writer asks which commits are still read before it reuses a page.
//!
//! # Invariants
//! 1. Taking the newest state and registering for it is one step, under the lock under which a commit
//!    publishes its state: there is no moment in which a reader holds a state the writer cannot see.
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use varve_backend::bbolt::Meta;

use crate::page::Pages;

/// A commit as readers need it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) meta: Meta,
    pub(crate) pages: Pages,
    /// Pages below the high-water mark that are free for use.
    pub(crate) free_pages: u64,
}

#[derive(Debug)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    newest: Arc<State>,
    /// Readers per commit.
    open: BTreeMap<u64, u64>,
}

impl Registry {
    pub(crate) fn new(state: State) -> Arc<Self> {
        let inner = Inner {
            newest: Arc::new(state),
            open: BTreeMap::new(),
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    pub(crate) fn newest(&self) -> Arc<State> {
        Arc::clone(&self.inner.lock().newest)
    }

    pub(crate) fn enter(self: &Arc<Self>) -> (Arc<State>, Reader) {
        let mut inner = self.inner.lock();
        let state = Arc::clone(&inner.newest);
        *inner.open.entry(state.meta.txid).or_insert(0) += 1;
        let reader = Reader {
            registry: Arc::clone(self),
            txid: state.meta.txid,
        };
        (state, reader)
    }

    pub(crate) fn publish(&self, state: State) {
        let state = Arc::new(state);
        let old = std::mem::replace(&mut self.inner.lock().newest, state);
        // Unmapping an outgrown map takes time: not under the lock.
        drop(old);
    }

    /// The commits that are read now, ascending.
    pub(crate) fn open(&self) -> Vec<u64> {
        self.inner.lock().open.keys().copied().collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.inner.lock().open.values().sum()
    }
}

/// One registration; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Reader {
    registry: Arc<Registry>,
    txid: u64,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.registry.inner.lock();
        if let Some(count) = inner.open.get_mut(&self.txid) {
            *count -= 1;
            if *count == 0 {
                inner.open.remove(&self.txid);
            }
        }
    }
}
