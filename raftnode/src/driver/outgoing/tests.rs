//! When the log is held.
use super::*;

#[test]
fn the_log_is_held_while_a_snapshot_is_under_way_and_for_a_time_after() {
    let mut outgoing = OutgoingSnapshots::new(300);
    assert!(!outgoing.hold(0));
    outgoing.begin(2);
    outgoing.begin(3);
    assert!(outgoing.hold(1_000_000));
    assert!(outgoing.end(2, 100));
    assert!(outgoing.hold(1_000_000), "one is still under way");
    assert!(outgoing.end(3, 200));
    assert!(outgoing.hold(499));
    assert!(!outgoing.hold(500));
}

#[test]
fn a_report_about_nothing_changes_nothing() {
    let mut outgoing = OutgoingSnapshots::new(300);
    assert!(!outgoing.end(7, 10));
    assert!(!outgoing.hold(11));
}
