//! The checkers bite: every mistake that can be switched on is found within a bounded number of seeds,
//! and its plan becomes short.

use varve_sim::raft::{StoreKind, explain, run_seed};
use varve_sim::{Bug, Bugs, Property};

/// Looks for the bug in this many seeds, by one of these properties; then explains what it found.
#[expect(
    clippy::print_stdout,
    reason = "what was found, for who asks with --nocapture"
)]
fn check(bug: Bug, seeds: u64, properties: &[Property]) {
    let bugs = Bugs::one(bug);
    let store = Some(StoreKind::Lean);
    let found = (0..seeds).find_map(|seed| {
        let violation = run_seed(seed, store, bugs).err()?;
        properties
            .contains(&violation.property)
            .then_some((seed, violation))
    });
    let Some((seed, violation)) = found else {
        panic!("{bug:?} is not found within {seeds} seeds");
    };
    println!("{bug:?}: seed {seed}: {violation}");
    // The same schedule is sound without it.
    assert!(run_seed(seed, store, Bugs::default()).is_ok());

    let failure = explain(seed, store, bugs, 1000, 40).expect("what fails once fails again");
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
fn a_vote_that_is_not_persisted_is_found() {
    check(Bug::VoteNotPersisted, 200, &[Property::OneVotePerTerm]);
}

#[test]
fn committing_an_old_term_by_counting_is_found() {
    check(
        Bug::CommitOldTermByCounting,
        2000,
        &[Property::LeaderCompleteness, Property::StateMachineSafety],
    );
}

#[test]
fn a_forgotten_truncation_is_found() {
    check(
        Bug::ForgottenTruncation,
        1000,
        &[
            Property::LogMatching,
            Property::LeaderCompleteness,
            Property::StateMachineSafety,
        ],
    );
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    check(
        Bug::AckBeforeSync,
        1000,
        &[
            Property::LeaderCompleteness,
            Property::StateMachineSafety,
            Property::Durability,
        ],
    );
}

#[test]
fn a_read_without_a_quorum_is_found() {
    check(Bug::ReadWithoutQuorum, 1500, &[Property::LinearizableReads]);
}

#[test]
fn a_read_before_the_first_commit_of_a_term_is_found() {
    check(
        Bug::ReadBeforeFirstCommit,
        200,
        &[Property::LinearizableReads],
    );
}

#[test]
fn a_second_vote_after_a_restart_is_found() {
    check(
        Bug::DoubleVoteAfterRestart,
        200,
        &[Property::OneVotePerTerm],
    );
}

#[test]
fn a_change_of_members_that_is_applied_twice_is_found() {
    check(
        Bug::ConfChangeAppliedTwice,
        3000,
        &[Property::ConfigurationAgreement],
    );
}

#[test]
fn a_snapshot_behind_the_commit_index_is_found() {
    check(
        Bug::SnapshotBehindCommit,
        1500,
        &[Property::Progress, Property::StateMachineSafety],
    );
}

#[test]
fn a_synced_tail_that_is_lost_is_found() {
    check(Bug::SyncedTailLost, 100, &[Property::LeaderCompleteness]);
}

#[test]
fn leading_before_the_own_vote_is_durable_is_found() {
    check(Bug::LeadBeforeOwnVote, 6000, &[Property::LogMatching]);
}

#[test]
fn a_removed_leader_that_reads_alone_is_found() {
    check(
        Bug::ReadAloneWhenRemoved,
        6000,
        &[Property::LinearizableReads],
    );
}
