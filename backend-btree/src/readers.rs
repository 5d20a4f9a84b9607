//! Who still reads which commit.
//!
//! A snapshot registers when it is taken and leaves when it and all bytes that borrow from it are gone.
//! The writer asks which commits are still read before it reuses a page.
//!
//! # Invariants
//! 1. Taking the newest state and registering for it is one step, under the lock under which a commit
//!    publishes its state: there is no moment in which a reader holds a state the writer cannot see.
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use varve_backend::Result;
use varve_backend::bbolt::Meta;

use crate::page::{Node, Pages};

/// A commit as readers need it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) meta: Meta,
    pub(crate) pages: Pages,
    /// Pages below the high-water mark that are free for use.
    pub(crate) free_pages: u64,
    /// Names and root pages of buckets with a tree of their own, once somebody asked.
    roots: OnceLock<Vec<(Bytes, u64)>>,
}

/// Buckets remembered by name; a file with more of them is read without.
const MAX_ROOTS: usize = 32;

impl State {
    pub(crate) fn new(meta: Meta, pages: Pages, free_pages: u64) -> Self {
        Self {
            meta,
            pages,
            free_pages,
            roots: OnceLock::new(),
        }
    }

    /// The root node of a bucket.
    pub(crate) fn bucket(&self, name: &[u8]) -> Result<Option<Node<'_>>> {
        // Damage on the way is for the lookup that follows to report.
        let roots = self.roots.get_or_init(|| self.roots().unwrap_or_default());
        match roots.iter().find(|(n, _)| n[..] == *name) {
            Some((_, root)) => self.pages.node(*root).map(Some),
            None => self.pages.bucket(self.meta.root, name),
        }
    }

    fn roots(&self) -> Result<Vec<(Bytes, u64)>> {
        let mut roots = Vec::new();
        let node = self.pages.node(self.meta.root)?;
        if node.is_branch() || node.count() > MAX_ROOTS {
            return Ok(roots);
        }
        for index in 0..node.count() {
            let entry = node.leaf(index)?;
            if !entry.is_bucket() {
                continue;
            }
            let root = node.bucket_header(&entry)?.root;
            if root != 0 {
                roots.push((Bytes::copy_from_slice(node.bytes(&entry.key)), root));
            }
        }
        Ok(roots)
    }
}

#[derive(Debug)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    newest: Arc<State>,
    /// Commits that are read, ascending, with the number of their readers. New ones come at the end, and
    /// there are few: a list that keeps its memory beats a tree here.
    open: Vec<(u64, u64)>,
}

impl Registry {
    pub(crate) fn new(state: State) -> Arc<Self> {
        let inner = Inner {
            newest: Arc::new(state),
            open: Vec::new(),
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
        let txid = state.meta.txid;
        match inner.open.last_mut() {
            Some((newest, count)) if *newest == txid => *count += 1,
            _ => inner.open.push((txid, 1)),
        }
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
        self.inner
            .lock()
            .open
            .iter()
            .map(|(txid, _)| *txid)
            .collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.inner.lock().open.iter().map(|(_, count)| count).sum()
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
        if let Ok(at) = inner
            .open
            .binary_search_by_key(&self.txid, |(txid, _)| *txid)
        {
            inner.open[at].1 -= 1;
            if inner.open[at].1 == 0 {
                inner.open.remove(at);
            }
        }
    }
}
