use varve_proto::raftpb::Entry;

use super::{Inflights, Progress, ProgressState, Refusal};
use crate::ids::Index;
use crate::tracker::InflightLimits;

fn at(index: u64) -> Index {
    Index::new(index)
}

fn window(messages: usize) -> Inflights {
    Inflights::new(InflightLimits { messages, bytes: 0 })
}

/// That many entries of one byte each.
fn entries(count: usize) -> Vec<Entry> {
    let entry = Entry {
        data: Some("x".into()),
        ..Entry::default()
    };
    vec![entry; count]
}

fn progress(state: ProgressState, matched: u64, next: u64) -> Progress {
    let mut progress = Progress::new(at(next), window(256), false);
    progress.state = state;
    progress.matched = at(matched);
    progress
}

#[test]
fn probing_continues_after_what_matched_or_after_the_snapshot_that_was_sent() {
    let table = [
        (progress(ProgressState::Replicate, 1, 5), 2),
        (
            progress(ProgressState::Snapshot { pending: at(10) }, 1, 11),
            11,
        ),
        (
            progress(ProgressState::Snapshot { pending: at(0) }, 1, 1),
            2,
        ),
    ];
    for (mut progress, next) in table {
        progress.become_probe();
        assert_eq!(progress.state, ProgressState::Probe);
        assert_eq!(progress.next, at(next));
        assert!(!progress.is_paused());
    }
}

#[test]
fn a_failed_snapshot_leaves_no_trace() {
    let mut progress = progress(ProgressState::Snapshot { pending: at(10) }, 1, 11);
    progress.snapshot_failed();
    assert_eq!(
        (progress.state, progress.next),
        (ProgressState::Probe, at(2))
    );
}

#[test]
fn replicating_continues_after_what_matched() {
    let mut progress = progress(ProgressState::Probe, 1, 5);
    progress.become_replicate();
    assert_eq!(
        (progress.state, progress.matched, progress.next),
        (ProgressState::Replicate, at(1), at(2))
    );
}

#[test]
fn nothing_is_sent_while_a_snapshot_is_under_way() {
    let mut progress = progress(ProgressState::Probe, 1, 2);
    progress.become_snapshot(at(10));
    assert_eq!(progress.next, at(11));
    assert!(progress.is_paused());
}

#[test]
fn a_probe_pauses_and_an_empty_one_does_not() {
    let mut probing = progress(ProgressState::Probe, 1, 2);
    probing.sent_entries(&entries(0));
    assert!(!probing.is_paused());
    probing.sent_entries(&entries(1));
    assert!(probing.is_paused());
    assert_eq!(probing.next, at(2), "a probe may be repeated");
}

#[test]
fn pipelining_pauses_with_a_full_window() {
    let mut progress = Progress::new(at(2), window(2), false);
    progress.matched = at(1);
    progress.become_replicate();
    progress.sent_entries(&entries(3));
    assert!(!progress.is_paused());
    progress.sent_entries(&entries(1));
    assert!(progress.is_paused());
    assert_eq!(progress.next, at(6));
}

#[test]
fn acknowledgements_only_move_forward() {
    for (acknowledged, matched, next, news) in [
        (2, 3, 5, false),
        (3, 3, 5, false),
        (4, 4, 5, true),
        (5, 5, 6, true),
    ] {
        let mut progress = progress(ProgressState::Probe, 3, 5);
        progress.paused = true;
        assert_eq!(progress.maybe_update(at(acknowledged)), news);
        assert_eq!((progress.matched, progress.next), (at(matched), at(next)));
        assert_eq!(progress.paused, !news);
    }
}

#[test]
fn refusals_move_back_unless_they_are_out_of_date() {
    use ProgressState::{Probe, Replicate};
    // state, matched, next, rejected, hint -> moved, next
    let table = [
        (Replicate, 5, 10, 5, 5, false, 10),
        (Replicate, 5, 10, 4, 4, false, 10),
        (Replicate, 5, 10, 9, 9, true, 6),
        // Not what the probe followed.
        (Probe, 0, 0, 0, 0, false, 0),
        (Probe, 0, 10, 5, 5, false, 10),
        (Probe, 0, 10, 9, 9, true, 9),
        (Probe, 0, 2, 1, 1, true, 1),
        (Probe, 0, 1, 0, 0, true, 1),
        (Probe, 0, 10, 9, 2, true, 3),
        (Probe, 0, 10, 9, 0, true, 1),
        // Never behind what matched, whatever the hint.
        (Probe, 4, 10, 9, 0, true, 5),
        (Probe, 0, 10, 9, u64::MAX, true, 9),
    ];
    for (state, matched, next, rejected, hint, moved, then) in table {
        let mut progress = progress(state, matched, next.max(1));
        let case = format!("{state} {matched} {next} {rejected} {hint}");
        if next > 0 {
            let refusal = Refusal {
                rejected: at(rejected),
                hint: at(hint),
            };
            assert_eq!(progress.maybe_decrease_to(refusal), moved, "{case}");
            assert_eq!(progress.next, at(then), "{case}");
        }
    }
}

#[test]
fn a_commit_index_is_sent_early_only_if_it_can_move_the_follower() {
    let mut progress = progress(ProgressState::Replicate, 5, 8);
    progress.record_sent_commit(at(4));
    assert!(!progress.can_bump_commit(at(4)));
    assert!(progress.can_bump_commit(at(5)));
    // Told up to what the follower can have: nothing to gain.
    progress.record_sent_commit(at(7));
    assert!(!progress.can_bump_commit(at(9)));
    // What was lost has to be told again.
    progress.become_probe();
    progress.next = at(8);
    assert!(progress.can_bump_commit(at(9)));
}

#[test]
fn text_names_what_is_remarkable() {
    let mut progress = Progress::new(at(2), window(1), true);
    progress.matched = at(1);
    progress.become_replicate();
    progress.sent_entries(&entries(1));
    assert_eq!(
        progress.to_string(),
        "StateReplicate match=1 next=3 learner paused inactive inflight=1[full]"
    );
    progress.become_snapshot(at(9));
    progress.recent_active = true;
    assert_eq!(
        progress.to_string(),
        "StateSnapshot match=1 next=10 learner paused pendingSnap=9"
    );
}
