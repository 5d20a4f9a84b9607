//! What schedules of consensus cores led to, and how their plans are run.

use super::plan::{Plan, StoreKind, Timed};
use super::world::World;
use crate::bugs::Bugs;
use crate::check::Violation;
use crate::net::Weather;
use crate::schedule::{self, Schedule};
use crate::stats::stats;

stats! {
    /// Schedules added up.
    schedules: "schedules",
    /// Events.
    events: "events",
    /// Virtual time, in units.
    time: "units of time",
    /// Messages that arrived.
    delivered: "messages delivered",
    /// Terms with a leader.
    elections: "elections",
    /// Entries committed.
    committed: "entries committed",
    /// Proposals made.
    proposals: "proposals",
    /// Proposals acknowledged.
    acknowledged: "acknowledged",
    /// Reads begun.
    reads: "reads",
    /// Reads answered.
    answered: "reads answered",
    /// Changes of members carried out.
    changes: "changes of members",
    /// Members that lost their memory.
    crashes: "crashes",
    /// Of these, by an operation of their disk.
    disk_failures: "of these in disk operations",
    /// Members that started again.
    starts: "restarts",
    /// Snapshots made.
    compactions: "snapshots made",
    /// Snapshots sent.
    snapshots_sent: "snapshots sent",
    /// Snapshots taken over.
    snapshots_restored: "snapshots taken over",
    /// Schedules that left a configuration which cannot elect a leader by itself, see `heal`.
    stranded: "stranded",
}

impl Schedule for Plan {
    type Action = Timed;
    type Bugs = Bugs;
    type Stats = Stats;

    fn carry_out(&self, bugs: Bugs, lines: usize) -> Outcome {
        World::new(self, bugs, lines).run()
    }

    fn actions(&mut self) -> &mut Vec<Timed> {
        &mut self.actions
    }

    fn weather(&mut self) -> &mut Weather {
        &mut self.settings.weather
    }
}

/// How a run went.
pub type Outcome = schedule::Outcome<Stats>;

/// A failure, as short as it could be made.
pub type Failure = schedule::Failure<Plan>;

/// Draws and carries out the plan of a seed.
///
/// # Errors
/// The violation that it led to; [`explain`] tells more.
pub fn run_seed(seed: u64, store: Option<StoreKind>, bugs: Bugs) -> Result<Outcome, Violation> {
    schedule::judge(&Plan::draw(seed, store), bugs)
}

/// Shrinks the plan of a failing seed, trying so many shorter ones, and keeps so many lines of its trace.
/// `None` if the seed does not fail.
pub fn explain(
    seed: u64,
    store: Option<StoreKind>,
    bugs: Bugs,
    tries: usize,
    lines: usize,
) -> Option<Failure> {
    schedule::explain(Plan::draw(seed, store), bugs, tries, lines)
}
