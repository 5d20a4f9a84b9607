//! Parts of the store by themselves, for its own bench: no part of the interface.

use crate::index::{Index, IndexView};
use crate::revision::Revision;

/// The key index without a store around it.
#[derive(Debug)]
pub struct IndexAlone(Index);

/// A snapshot of it.
#[derive(Debug)]
pub struct IndexSnapshot {
    _view: IndexView,
}

impl IndexAlone {
    /// An empty index.
    #[expect(clippy::new_without_default, reason = "a bench has no use for it")]
    pub fn new() -> Self {
        Self(Index::new())
    }

    /// Adds a put; revisions ascend.
    pub fn put(&mut self, key: &[u8], revision: Revision) {
        self.0.put(key, revision);
    }

    /// Holds on to the index as it is.
    pub fn snapshot(&self) -> IndexSnapshot {
        IndexSnapshot {
            _view: self.0.view(),
        }
    }

    /// Whether a key is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.0.get(key, i64::MAX).is_some()
    }
}
