//! What clients saw of a key-value store, and whether a linearizable one could have shown it.
//!
//! Clients record their operations, watches and leases while anything happens to the members; in the
//! end somebody reads the whole history of the store ([`Ledger`], from a watch of everything from its
//! first revision). Nothing here knows members, sockets or clocks: simulated clusters and real processes
//! are judged by the same checkers.
//!
//! # Instants
//! A [`Stamp`] orders calls and answers of all clients. Equal stamps count as concurrent. Where time
//! counts (leases), stamps are units of one clock.
//!
//! # What is held
//! 1. Every acknowledged write is in the ledger, at its revision, whole; what is in the ledger was
//!    written by somebody, once ([`settle`]).
//! 2. Revisions respect real time, and every answer equals the ledger at its revision ([`revisions`]).
//! 3. Per key the operations are linearizable, found without believing the revisions of writes whose
//!    answer was lost ([`linear`]). 1 and 2 imply it; it is kept as the check that needs no ledger.
//! 4. Watches are ordered, gapless, whole per revision and resumable ([`watch`]).
//! 5. Leases last as long as they were acknowledged to, and not much longer ([`lease`]).
//!
//! # What the clients must do
//! No two operations put the same value at the same key: a value tells whose write it is.

pub mod lease;
mod ledger;
pub mod linear;
mod operation;
pub mod revisions;
pub mod settle;
#[cfg(test)]
mod tests;
pub mod watch;

use std::fmt;

pub use lease::LeaseRun;
pub use ledger::{Event, Ledger};
pub use operation::{Answer, Call, Operation, Outcome, Seen, Span, Stamp, Stored, Write};
pub use settle::Effects;
pub use watch::{Batch, Notice, Watch};

use crate::check::Violation;

/// Everything that clients recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Operations in any order.
    pub operations: Vec<Operation>,
    /// Watches; one that was resumed is several.
    pub watches: Vec<Watch>,
    /// Leases.
    pub leases: Vec<LeaseRun>,
    /// How many stamps a lease may last beyond its time to live.
    pub lease_bound: Stamp,
}

/// What a checked history was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Writes that changed something and were acknowledged.
    pub writes: usize,
    /// Linearizable reads, and writes that changed nothing, that were answered.
    pub reads: usize,
    /// Serializable and historical reads that were answered.
    pub stale_reads: usize,
    /// Operations whose outcome nobody knows, and those of them that took effect.
    pub unknown: usize,
    /// Operations of unknown outcome that are in the ledger.
    pub unknown_done: usize,
    /// Operations that were refused.
    pub failed: usize,
    /// Watches and the events they delivered.
    pub watches: usize,
    /// Events that watches delivered.
    pub events: usize,
    /// Leases.
    pub leases: usize,
    /// The last revision.
    pub revision: i64,
}

impl History {
    /// Holds everything against the ledger. The first objection names the operations involved.
    pub fn check(&self, ledger: &Ledger) -> Result<Summary, Violation> {
        let effects = settle::check(&self.operations, ledger)?;
        revisions::check(&self.operations, ledger, &effects)?;
        linear::check(&self.operations, Some(&effects))?;
        for watch in &self.watches {
            watch::check(watch, ledger)?;
        }
        lease::check(&self.leases, self.lease_bound)?;
        Ok(self.summary(ledger, &effects))
    }

    fn summary(&self, ledger: &Ledger, effects: &Effects) -> Summary {
        let mut summary = Summary {
            watches: self.watches.len(),
            events: self.watches.iter().map(Watch::events).sum(),
            leases: self.leases.len(),
            revision: ledger.last(),
            ..Summary::default()
        };
        for (number, operation) in self.operations.iter().enumerate() {
            match &operation.outcome {
                Outcome::Ok(_) if operation.changed() => summary.writes += 1,
                Outcome::Ok(_) if operation.call.is_stale() => summary.stale_reads += 1,
                Outcome::Ok(_) => summary.reads += 1,
                Outcome::Failed => summary.failed += 1,
                Outcome::Unknown => {
                    summary.unknown += 1;
                    summary.unknown_done += usize::from(effects.of(number).is_some());
                }
            }
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} writes, {} linearizable and {} other reads, {} unknown ({} took effect), {} refused, \
             {} watches of {} events, {} leases, revision {}",
            self.writes,
            self.reads,
            self.stale_reads,
            self.unknown,
            self.unknown_done,
            self.failed,
            self.watches,
            self.events,
            self.leases,
            self.revision
        )
    }
}
