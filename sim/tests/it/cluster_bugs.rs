//! The checkers of whole members bite: every mistake that can be switched on is found within a bounded
//! number of seeds, and its plan becomes short.

use varve_sim::Property;
use varve_sim::cluster::{Seeded, SeededBug, explain, run_seed};

/// Looks for the bug in this many seeds, by one of these properties; then explains what it found.
#[expect(
    clippy::print_stdout,
    reason = "what was found, for who asks with --nocapture"
)]
fn check(bug: SeededBug, seeds: u64, properties: &[Property]) {
    let seeded = Seeded::one(bug);
    let found = (0..seeds).find_map(|seed| {
        let violation = run_seed(seed, seeded).err()?;
        properties
            .contains(&violation.property)
            .then_some((seed, violation))
    });
    let Some((seed, violation)) = found else {
        panic!("{bug:?} is not found within {seeds} seeds");
    };
    println!("{bug:?}: seed {seed}: {violation}");
    // The same schedule is sound without it.
    assert!(run_seed(seed, Seeded::default()).is_ok());

    let failure = explain(seed, seeded, 400, 40).expect("what fails once fails again");
    assert_eq!(failure.violation.property, violation.property);
    assert!(failure.plan.actions.len() < failure.actions_before / 2);
    assert!(!failure.lines.is_empty() && failure.lines.len() <= 40);
    println!(
        "{} of {} actions left after {} tries",
        failure.plan.actions.len(),
        failure.actions_before,
        failure.tried
    );
}

#[test]
fn an_index_committed_apart_from_its_data_is_found() {
    check(SeededBug::IndexApart, 100, &[Property::Atomicity]);
}

#[test]
fn a_snapshot_sent_before_the_commit_it_claims_is_found() {
    check(SeededBug::SnapshotBeforeCommit, 200, &[Property::Atomicity]);
}

#[test]
fn a_log_released_before_the_database_is_durable_is_found() {
    check(SeededBug::LogReleasedEarly, 500, &[Property::NoFailure]);
}

#[test]
fn a_lease_revoked_by_an_old_leader_is_found() {
    check(SeededBug::RevokedByOldLeader, 4000, &[Property::Leases]);
}

#[test]
fn a_waiter_answered_before_the_commit_is_found() {
    check(
        SeededBug::AnsweredBeforeCommit,
        200,
        &[
            Property::Durability,
            Property::Revisions,
            Property::Linearizability,
        ],
    );
}
