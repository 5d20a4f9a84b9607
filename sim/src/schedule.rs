//! Carrying out plans of either level, and explaining those that fail.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::{Property, Violation};
use crate::net::Weather;
use crate::shrink::shrink;

/// The figures of schedules.
pub trait Counted: Default {
    /// Those of one schedule in which nothing happened.
    fn one() -> Self;
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome<S> {
    /// The objection that ended it, if there was one.
    pub violation: Option<Violation>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// The end of the trace, if it was recorded.
    pub lines: Vec<String>,
    /// What the schedule led to.
    pub stats: S,
}

/// A plan: what happens to a cluster, and when.
pub trait Schedule: Clone + fmt::Display {
    /// Something that happens.
    type Action: Clone;
    /// Mistakes that can be switched on.
    type Bugs: Copy;
    /// The figures of a run.
    type Stats: Counted;

    /// Carries it out, keeping so many lines of the trace.
    fn carry_out(&self, bugs: Self::Bugs, lines: usize) -> Outcome<Self::Stats>;

    /// What happens.
    fn actions(&mut self) -> &mut Vec<Self::Action>;

    /// The network.
    fn weather(&mut self) -> &mut Weather;
}

/// Carries out a plan. A panic counts as a violation, where panics can be caught. Of the
/// trace so many `lines` are kept.
pub fn run<P: Schedule>(plan: &P, bugs: P::Bugs, lines: usize) -> Outcome<P::Stats> {
    let run = AssertUnwindSafe(|| plan.carry_out(bugs, lines));
    catch_unwind(run).unwrap_or_else(|panic| {
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
            stats: P::Stats::one(),
        }
    })
}

/// Carries out a plan without a trace.
///
/// # Errors
/// The violation that it led to; [`explain`] tells more.
pub fn judge<P: Schedule>(plan: &P, bugs: P::Bugs) -> Result<Outcome<P::Stats>, Violation> {
    let mut outcome = run(plan, bugs, 0);
    match outcome.violation.take() {
        None => Ok(outcome),
        Some(violation) => Err(violation),
    }
}

/// A failure, as short as it could be made.
#[derive(Debug)]
pub struct Failure<P> {
    /// The shortest plan found that leads to the same kind of violation.
    pub plan: P,
    /// Actions of that plan.
    pub actions: usize,
    /// Actions of the plan as it was drawn.
    pub actions_before: usize,
    /// The violation of the short plan.
    pub violation: Violation,
    /// The end of its trace.
    pub lines: Vec<String>,
    /// How many plans were tried.
    pub tried: usize,
}

impl<P: fmt::Display> fmt::Display for Failure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "trace, its last {} lines:", self.lines.len())?;
        for line in &self.lines {
            writeln!(f, "  {line}")?;
        }
        writeln!(
            f,
            "plan, {} of {} actions left after {} tries:",
            self.actions, self.actions_before, self.tried
        )?;
        writeln!(f, "{}", self.plan)
    }
}

/// Shrinks a failing plan, trying so many shorter ones, and keeps so many lines of the trace of the
/// shortest. `None` if the plan does not fail.
pub fn explain<P: Schedule>(
    mut plan: P,
    bugs: P::Bugs,
    tries: usize,
    lines: usize,
) -> Option<Failure<P>> {
    let property = run(&plan, bugs, 0).violation?.property;
    let fails = |plan: &P| {
        run(plan, bugs, 0)
            .violation
            .is_some_and(|violation| violation.property == property)
    };
    let drawn = std::mem::take(plan.actions());
    let actions_before = drawn.len();
    let (actions, tried) = shrink(drawn, tries, |actions| {
        let mut shorter = plan.clone();
        *shorter.actions() = actions.to_vec();
        fails(&shorter)
    });
    *plan.actions() = actions;
    // A network that does no more than it must for this.
    for quieten in [
        |weather: &mut Weather| weather.loss = 0,
        |weather: &mut Weather| weather.duplicate = 0,
        |weather: &mut Weather| weather.stray = 0,
    ] {
        let mut quieter = plan.clone();
        quieten(quieter.weather());
        if fails(&quieter) {
            plan = quieter;
        }
    }
    let outcome = run(&plan, bugs, lines);
    Some(Failure {
        actions: plan.actions().len(),
        actions_before,
        violation: outcome.violation?,
        lines: outcome.lines,
        plan,
        tried,
    })
}
