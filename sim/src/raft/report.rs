//! Running plans, adding up what they led to, and explaining failures.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::plan::{Plan, StoreKind};
use super::world::{Outcome, World};
use crate::bugs::Bugs;
use crate::check::{Property, Violation};
use crate::shrink::shrink;

/// What one schedule, or many, led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Schedules added up.
    pub schedules: u64,
    /// Events.
    pub events: u64,
    /// Virtual time, in units.
    pub time: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Terms with a leader.
    pub elections: u64,
    /// Entries committed.
    pub committed: u64,
    /// Proposals made.
    pub proposals: u64,
    /// Proposals acknowledged.
    pub acknowledged: u64,
    /// Reads begun.
    pub reads: u64,
    /// Reads answered.
    pub answered: u64,
    /// Changes of members carried out.
    pub changes: u64,
    /// Members that lost their memory.
    pub crashes: u64,
    /// Of these, by an operation of their disk.
    pub disk_failures: u64,
    /// Members that started again.
    pub starts: u64,
    /// Snapshots made.
    pub compactions: u64,
    /// Snapshots sent.
    pub snapshots_sent: u64,
    /// Snapshots taken over.
    pub snapshots_restored: u64,
    /// Schedules that left a configuration which cannot elect a leader by itself, see `heal`.
    pub stranded: u64,
}

impl Stats {
    /// Adds up.
    pub fn add(&mut self, other: &Stats) {
        let pairs = self.fields_mut().into_iter().zip(other.fields());
        for (sum, (_, value)) in pairs {
            *sum += value;
        }
    }

    fn fields(&self) -> [(&'static str, u64); 18] {
        [
            ("schedules", self.schedules),
            ("events", self.events),
            ("units of time", self.time),
            ("messages delivered", self.delivered),
            ("elections", self.elections),
            ("entries committed", self.committed),
            ("proposals", self.proposals),
            ("acknowledged", self.acknowledged),
            ("reads", self.reads),
            ("reads answered", self.answered),
            ("changes of members", self.changes),
            ("crashes", self.crashes),
            ("of these in disk operations", self.disk_failures),
            ("restarts", self.starts),
            ("snapshots made", self.compactions),
            ("snapshots sent", self.snapshots_sent),
            ("snapshots taken over", self.snapshots_restored),
            ("stranded", self.stranded),
        ]
    }

    fn fields_mut(&mut self) -> [&mut u64; 18] {
        [
            &mut self.schedules,
            &mut self.events,
            &mut self.time,
            &mut self.delivered,
            &mut self.elections,
            &mut self.committed,
            &mut self.proposals,
            &mut self.acknowledged,
            &mut self.reads,
            &mut self.answered,
            &mut self.changes,
            &mut self.crashes,
            &mut self.disk_failures,
            &mut self.starts,
            &mut self.compactions,
            &mut self.snapshots_sent,
            &mut self.snapshots_restored,
            &mut self.stranded,
        ]
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.fields().into_iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{value} {name}")?;
        }
        Ok(())
    }
}

/// Carries out a plan. A panic counts as a violation, where panics can be caught. Of the
/// trace so many `lines` are kept.
pub fn run(plan: &Plan, bugs: Bugs, lines: usize) -> Outcome {
    let run = AssertUnwindSafe(|| World::new(plan, bugs, lines).run());
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
pub fn run_seed(seed: u64, store: Option<StoreKind>, bugs: Bugs) -> Result<Outcome, Violation> {
    let mut outcome = run(&Plan::draw(seed, store), bugs, 0);
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
pub fn explain(
    seed: u64,
    store: Option<StoreKind>,
    bugs: Bugs,
    tries: usize,
    lines: usize,
) -> Option<Failure> {
    let drawn = Plan::draw(seed, store);
    let property = run(&drawn, bugs, 0).violation?.property;
    let fails = |plan: &Plan| {
        run(plan, bugs, 0)
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
    let outcome = run(&plan, bugs, lines);
    Some(Failure {
        actions_before: drawn.actions.len(),
        violation: outcome.violation?,
        lines: outcome.lines,
        plan,
        tried,
    })
}
