//! The replicated state: what an entry of the log does to the store.
//!
//! Runs on the apply thread, synchronously and in log order. Every entry's effect, its raft index and
//! its term are one backend batch, so they become durable together or not at all; an entry at or below
//! the index found in the backend at start was applied before and changes only the v2 view of
//! membership, which lives in `.snap` files.
//!
//! # Invariants
//! 1. What an entry does depends on the entry and the state only: not on time, not on who waits.
//! 2. A waiter is answered after the change is visible to readers.
mod alarm;
mod convert;
mod dispatch;
mod error;
mod membership;
mod outcome;
mod snapshot;
mod state;
mod txn;

pub(crate) use alarm::Alarms;
pub(crate) use convert::range_options;
pub(crate) use outcome::{Applied, OpApplied, TxnApplied};
pub(crate) use snapshot::Database;
pub(crate) use state::{Applier, ApplierParts, ClusterView};
pub(crate) use txn::eval_read_only;
