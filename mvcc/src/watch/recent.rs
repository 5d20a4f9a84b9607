//! The newest changes, in memory: a watcher that is a little behind needs no history from the backend.
//!
//! Filled by the hub when a transaction ends, read by catch-up steps, both under the hub's lock. Changes
//! share their bytes with the backend's batches and with events' sources; each transaction is kept once.
//!
//! # Invariants
//!
//! 1. Revisions are consecutive, and the last one is the newest the hub was told of.
//! 2. The bytes kept do not exceed the limit; a transaction that is larger is not kept at all.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Change;

/// Bytes a change costs besides its key and record.
const CHANGE_BYTES: usize = size_of::<Change>() + 32;

/// The changes of the newest transactions.
#[derive(Debug, Default)]
pub(super) struct Recent {
    transactions: VecDeque<Transaction>,
    bytes: usize,
    limit_bytes: usize,
}

#[derive(Debug)]
struct Transaction {
    revision: i64,
    changes: Arc<[Change]>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            ..Self::default()
        }
    }

    /// Adds what made `revision`.
    pub(super) fn push(&mut self, revision: i64, changes: Vec<Change>) {
        let last = self.transactions.back().map(|last| last.revision);
        if last.is_some_and(|last| last + 1 != revision) {
            self.clear();
        }
        let each = changes
            .iter()
            .map(|c| c.key.len() + c.stored.len() + CHANGE_BYTES);
        let bytes = each.sum();
        if bytes > self.limit_bytes {
            self.clear();
            return;
        }
        self.bytes += bytes;
        self.transactions.push_back(Transaction {
            revision,
            changes: changes.into(),
            bytes,
        });
        while self.bytes > self.limit_bytes
            && let Some(oldest) = self.transactions.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.transactions.clear();
        self.bytes = 0;
    }

    /// The transactions of the revisions from `first` to `last`, as far as there are any; `None` when
    /// `first` is not among those that are kept.
    pub(super) fn between(&self, first: i64, last: i64) -> Option<Vec<Arc<[Change]>>> {
        let oldest = self.transactions.front()?.revision;
        let skipped = usize::try_from(first.checked_sub(oldest)?).ok()?;
        let wanted = self.transactions.iter().skip(skipped);
        let wanted = wanted.take_while(|transaction| transaction.revision <= last);
        let wanted: Vec<_> = wanted.map(|t| Arc::clone(&t.changes)).collect();
        (!wanted.is_empty()).then_some(wanted)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
