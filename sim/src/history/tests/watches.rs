//! Watches against the store.

use super::*;
use crate::history::watch::check;

/// The full watch after a change.
fn watch(change: impl FnOnce(&mut Watch)) -> Result<(), Violation> {
    let mut watch = full_watch();
    change(&mut watch);
    check(&watch, &ledger())
}

#[test]
fn a_watch_that_saw_everything_passes() {
    watch(|_| {}).unwrap();
    // Several revisions in one response; progress that is told; a part of the keys; a later start.
    watch(|watch| {
        let rest: Vec<Batch> = watch.batches.drain(2..).collect();
        watch.batches[1].revision = 6;
        let notices = rest.into_iter().flat_map(|batch| batch.notices);
        watch.batches[1].notices.extend(notices);
        watch.batches.push(Batch {
            revision: 6,
            notices: Vec::new(),
        });
        assert_eq!(watch.resume(), 7);
    })
    .unwrap();
    watch(|watch| {
        watch.span = prefix("b");
        for batch in &mut watch.batches {
            batch.notices.retain(|n| n.event.key() == "b");
        }
        watch.batches.retain(|batch| !batch.notices.is_empty());
    })
    .unwrap();
    watch(|watch| {
        watch.from = 4;
        watch.batches.drain(..2);
    })
    .unwrap();
    // It may end anywhere, if nobody claims more.
    watch(|watch| {
        watch.reached = 0;
        watch.batches.truncate(2);
        assert_eq!(watch.resume(), 4);
    })
    .unwrap();
}

#[test]
fn a_gap_in_a_watch_is_seen() {
    objects(
        watch(|watch| drop(watch.batches.remove(2))),
        Property::Watch,
        &["after 3 comes put a=a3", "next in the store is put a=a2"],
    );
    objects(
        watch(|watch| drop(watch.batches.pop())),
        Property::Watch,
        &["delete b at 6 did not come", "should have reached 6"],
    );
    // Progress that skips a change; a watch that starts too late.
    let progress = |watch: &mut Watch| {
        watch.reached = 0;
        watch.batches.truncate(3);
        watch.batches.push(Batch {
            revision: 5,
            notices: Vec::new(),
        });
    };
    objects(watch(progress), Property::Watch, &["progress to 5"]);
    objects(
        watch(|watch| watch.from = 3),
        Property::Watch,
        &["next in the store is put b=b1"],
    );
}

#[test]
fn doubles_and_disorder_in_a_watch_are_seen() {
    objects(
        watch(|watch| watch.batches.insert(3, watch.batches[2].clone())),
        Property::Watch,
        &["after 4 comes put a=a2"],
    );
    objects(
        watch(|watch| watch.batches.swap(1, 2)),
        Property::Watch,
        &["after 2 comes put a=a2"],
    );
    objects(
        watch(|watch| watch.batches[3].notices.swap(0, 1)),
        Property::Watch,
        &["after 4 comes put b=b3"],
    );
    objects(
        watch(|watch| watch.batches.push(watch.batches[4].clone())),
        Property::Watch,
        &["no further change"],
    );
}

#[test]
fn a_torn_revision_in_a_watch_is_seen() {
    let torn = |watch: &mut Watch| {
        let second = watch.batches[3].notices.split_off(1);
        watch.batches.insert(
            4,
            Batch {
                revision: 5,
                notices: second,
            },
        );
    };
    objects(watch(torn), Property::Watch, &["revision 5 is torn"]);
    // Also where the watch broke off in between.
    let broken = |watch: &mut Watch| {
        watch.reached = 0;
        watch.batches.truncate(4);
        watch.batches[3].notices.pop();
    };
    objects(watch(broken), Property::Watch, &["revision 5 is torn"]);
}

#[test]
fn wrong_contents_in_a_watch_are_seen() {
    objects(
        watch(|watch| watch.batches[2].notices[0].event = put_event("a", "a9", &[2, 4])),
        Property::Watch,
        &["a=a9", "a=a2"],
    );
    objects(
        watch(|watch| watch.batches[2].notices[0].previous = None),
        Property::Watch,
        &["shows [] before it"],
    );
    objects(
        watch(|watch| watch.with_previous = false),
        Property::Watch,
        &["before it, not []"],
    );
    objects(
        watch(|watch| watch.batches[2].revision = 3),
        Property::Watch,
        &["the header says 3"],
    );
}
