//! What schedules of whole members led to, and how their plans are run.

use varve_server::stepped::Seeded;

use super::plan::{Plan, Timed};
use super::world::World;
use crate::check::Violation;
use crate::net::Weather;
use crate::schedule::{self, Schedule};
use crate::stats::stats;

stats! {
    /// Schedules added up.
    schedules: "schedules",
    /// Events.
    events: "events",
    /// Virtual time in milliseconds.
    time: "ms of virtual time",
    /// Messages that arrived.
    delivered: "messages delivered",
    /// Times a member began to lead.
    elections: "elections",
    /// Indexes applied.
    applied: "entries applied",
    /// Revisions made.
    revisions: "revisions",
    /// Requests of clients.
    requests: "requests",
    /// Requests that were answered with success.
    answered: "answered",
    /// Requests that clients gave up.
    given_up: "given up",
    /// Operations whose history was checked.
    operations: "operations checked",
    /// Of these, without a known outcome.
    unknown: "of unknown outcome",
    /// Events that watches delivered.
    events_seen: "watch events",
    /// Leases granted.
    grants: "leases",
    /// Leases renewed.
    renewals: "renewals",
    /// Compactions accepted.
    compactions: "compactions",
    /// Members that joined.
    joins: "joins",
    /// Members that were removed.
    removals: "removals",
    /// Members started.
    starts: "starts",
    /// Processes killed.
    kills: "kills",
    /// Processes told to end.
    stops: "stops",
    /// Machines that lost power.
    crashes: "crashes",
    /// Of these, by an operation of their disk.
    disk_failures: "of these in disk operations",
    /// Snapshots sent.
    snapshots_sent: "snapshots sent",
    /// Snapshots that arrived whole.
    snapshots_received: "snapshots received",
}

impl Schedule for Plan {
    type Action = Timed;
    type Bugs = Seeded;
    type Stats = Stats;

    fn carry_out(&self, bugs: Seeded, lines: usize) -> Outcome {
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
pub fn run_seed(seed: u64, seeded: Seeded) -> Result<Outcome, Violation> {
    schedule::judge(&Plan::draw(seed), seeded)
}

/// Shrinks the plan of a failing seed, trying so many shorter ones, and keeps so many lines of its trace.
/// `None` if the seed does not fail.
pub fn explain(seed: u64, seeded: Seeded, tries: usize, lines: usize) -> Option<Failure> {
    schedule::explain(Plan::draw(seed), seeded, tries, lines)
}
