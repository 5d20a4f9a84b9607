//! Running plans, adding up what they led to, and explaining failures.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use varve_server::stepped::Seeded;

use super::plan::Plan;
use super::world::{Outcome, World};
use crate::check::{Property, Violation};
use crate::shrink::shrink;

/// Makes the figures of a schedule.
macro_rules! stats {
    ($($(#[$doc:meta])* $field:ident: $name:literal,)*) => {
        /// What one schedule, or many, led to.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Stats {
            /// Adds up.
            pub fn add(&mut self, other: &Stats) {
                $(self.$field += other.$field;)*
            }
        }

        impl fmt::Display for Stats {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let fields = [$(($name, self.$field),)*];
                for (at, (name, value)) in fields.into_iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{value} {name}")?;
                }
                Ok(())
            }
        }
    };
}

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

/// Carries out a plan. A panic counts as a violation, where panics can be caught. Of the
/// trace so many `lines` are kept.
pub fn run(plan: &Plan, seeded: Seeded, lines: usize) -> Outcome {
    let run = AssertUnwindSafe(|| World::new(plan, seeded, lines).run());
    let mut outcome = catch_unwind(run).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        Outcome {
            violation: Some(Violation::new(
                Property::NoFailure,
                format!("panic: {what}"),
            )),
            hash: 0,
            lines: Vec::new(),
            stats: Stats::default(),
        }
    });
    outcome.stats.schedules = 1;
    outcome
}

/// Draws and carries out the plan of a seed.
///
/// # Errors
/// The violation that it led to; [`explain`] tells more.
pub fn run_seed(seed: u64, seeded: Seeded) -> Result<Outcome, Violation> {
    let mut outcome = run(&Plan::draw(seed), seeded, 0);
    match outcome.violation.take() {
        None => Ok(outcome),
        Some(violation) => Err(violation),
    }
}

/// A failure, as short as it could be made.
#[derive(Debug)]
pub struct Failure {
    /// The shortest plan found that leads to the same kind of violation.
    pub plan: Plan,
    /// Actions of the plan as it was drawn.
    pub actions_before: usize,
    /// The violation of the short plan.
    pub violation: Violation,
    /// The end of its trace.
    pub lines: Vec<String>,
    /// How many plans were tried.
    pub tried: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "trace, its last {} lines:", self.lines.len())?;
        for line in &self.lines {
            writeln!(f, "  {line}")?;
        }
        writeln!(
            f,
            "plan, {} of {} actions left after {} tries:",
            self.plan.actions.len(),
            self.actions_before,
            self.tried
        )?;
        writeln!(f, "{}", self.plan)
    }
}

/// Shrinks the plan of a failing seed, trying so many shorter ones, and keeps so many lines of its trace.
/// `None` if the seed does not fail.
pub fn explain(seed: u64, seeded: Seeded, tries: usize, lines: usize) -> Option<Failure> {
    let drawn = Plan::draw(seed);
    let property = run(&drawn, seeded, 0).violation?.property;
    let fails = |plan: &Plan| {
        run(plan, seeded, 0)
            .violation
            .is_some_and(|violation| violation.property == property)
    };
    let (actions, tried) = shrink(drawn.actions.clone(), tries, |actions| {
        fails(&Plan {
            actions: actions.to_vec(),
            ..drawn.clone()
        })
    });
    let mut plan = Plan {
        actions,
        ..drawn.clone()
    };
    // A network that does no more than it must for this.
    for quieten in [
        |plan: &mut Plan| plan.settings.weather.loss = 0,
        |plan: &mut Plan| plan.settings.weather.duplicate = 0,
        |plan: &mut Plan| plan.settings.weather.stray = 0,
    ] {
        let mut quieter = plan.clone();
        quieten(&mut quieter);
        if fails(&quieter) {
            plan = quieter;
        }
    }
    let outcome = run(&plan, seeded, lines);
    Some(Failure {
        actions_before: drawn.actions.len(),
        violation: outcome.violation?,
        lines: outcome.lines,
        plan,
        tried,
    })
}
