//! Checkers: observers that are told what members do, and object.
//!
//! They know nothing of how members are built; a world of bare consensus cores and one of whole servers
//! feed the same ones. None of them influences a run.
//!
//! # What is held
//! The properties of figure 3 of the Raft paper and what clients rest on; see [`Property`].

mod clients;
mod logs;
mod shadow;
#[cfg(test)]
mod tests;

use std::fmt;

pub use clients::Clients;
pub use logs::{Applied, Logs};
pub use shadow::{EntryId, Shadow};

/// What can be violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Property {
    /// At most one leader per term.
    ElectionSafety,
    /// A member grants its vote to one candidate per term.
    OneVotePerTerm,
    /// Two logs with an entry of the same index and term are the same up to there.
    LogMatching,
    /// What was committed in a term is in the log of every leader of a later term.
    LeaderCompleteness,
    /// No two members apply, or take for committed, different entries at one index, and all reach the
    /// same state there.
    StateMachineSafety,
    /// Members that have applied the same have the same configuration.
    ConfigurationAgreement,
    /// Commit and applied indexes do not go back while a member runs.
    Progress,
    /// What a client was told is done is there, and stays.
    Durability,
    /// A read reflects everything that was acknowledged before it began.
    LinearizableReads,
    /// All answers about a key can be explained by an order of the operations that respects real time.
    Linearizability,
    /// Revisions are distinct, without gaps, and grow with real time.
    Revisions,
    /// What is stored was written by somebody, once.
    Provenance,
    /// A transaction takes effect wholly or not at all, in one revision.
    Atomicity,
    /// Watches deliver every change, in order, once, whole per revision.
    Watch,
    /// Leases last as long as was acknowledged, and not much longer.
    Leases,
    /// No member stops, panics or refuses what its peers send while its disk works.
    NoFailure,
    /// Once faults end, the members agree within a bounded time.
    Recovery,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ElectionSafety => "election safety",
            Self::OneVotePerTerm => "one vote per term",
            Self::LogMatching => "log matching",
            Self::LeaderCompleteness => "leader completeness",
            Self::StateMachineSafety => "state machine safety",
            Self::ConfigurationAgreement => "configuration agreement",
            Self::Progress => "progress",
            Self::Durability => "durability",
            Self::LinearizableReads => "linearizable reads",
            Self::Linearizability => "linearizability",
            Self::Revisions => "revisions",
            Self::Provenance => "provenance",
            Self::Atomicity => "atomicity",
            Self::Watch => "watch guarantees",
            Self::Leases => "leases",
            Self::NoFailure => "no failure",
            Self::Recovery => "recovery",
        })
    }
}

/// An objection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {what}")]
pub struct Violation {
    /// What does not hold.
    pub property: Property,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// Makes one.
    pub fn new(property: Property, what: impl Into<String>) -> Self {
        Self {
            property,
            what: what.into(),
        }
    }
}

/// What checkers return.
pub type Checked = Result<(), Violation>;
