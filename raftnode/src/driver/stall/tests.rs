//! Ticks in, verdicts out.
use super::*;

#[test]
fn an_append_that_takes_longer_than_the_limit_is_told_once_a_timeout() {
    let mut watch = StallWatch::new(2, 10);
    watch.handed(5, 3);
    let told: Vec<u64> = (6..60).filter(|t| watch.stalled(*t).is_some()).collect();
    assert_eq!(told, [26, 36, 46, 56]);
}

#[test]
fn what_could_not_be_done_is_tried_at_the_next_tick() {
    let mut watch = StallWatch::new(2, 10);
    watch.handed(5, 1);
    assert_eq!(watch.stalled(26), Some(21));
    watch.try_again(26);
    assert_eq!(watch.stalled(27), Some(22));
    assert_eq!(watch.stalled(28), None);
}

#[test]
fn only_the_oldest_append_under_way_counts() {
    let mut watch = StallWatch::new(1, 10);
    watch.handed(1, 2);
    watch.handed(8, 1);
    watch.answered(1);
    assert_eq!(
        watch.stalled(12),
        Some(11),
        "one of the first is still there"
    );
    watch.answered(1);
    assert_eq!(watch.stalled(18), None);
    watch.answered(1);
    assert_eq!(watch.stalled(1000), None, "nothing is under way");
}

#[test]
fn without_a_limit_nothing_is_too_long() {
    let mut watch = StallWatch::new(0, 10);
    watch.handed(1, 1);
    assert_eq!(watch.stalled(1_000_000), None);
}
