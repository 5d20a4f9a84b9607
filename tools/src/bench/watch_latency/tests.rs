use super::*;

#[test]
fn an_event_before_the_answer_to_its_put_counts_as_zero_after_it() {
    let puts = Puts::new(2);
    puts.began_ns[0].store(1_000, Ordering::Release);
    assert_eq!(
        puts.since(0, 5_000),
        Some((Duration::from_micros(4), Duration::ZERO))
    );
    puts.ended_ns[0].store(4_500, Ordering::Release);
    let both = (Duration::from_micros(4), Duration::from_nanos(500));
    assert_eq!(puts.since(0, 5_000), Some(both));
    // Ended after the moment the event arrived.
    assert_eq!(puts.since(0, 4_000).unwrap().1, Duration::ZERO);
}

#[test]
fn events_of_puts_never_sent_are_told_apart() {
    let puts = Puts::new(2);
    assert_eq!(puts.since(1, 5), None);
    assert_eq!(puts.since(2, 5), None);
}
