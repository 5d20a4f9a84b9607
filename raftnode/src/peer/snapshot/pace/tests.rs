use std::time::{Duration, Instant};

use super::Pace;

const PIECE: usize = 256 << 10;

/// Sends for some seconds while so many entries a second are applied; bytes a second of the second half.
fn rate(entries_per_second: u64) -> u64 {
    let start = Instant::now();
    let (mut now, mut sent) = (start, 0);
    let applied = |now: Instant| {
        let ms = u64::try_from(now.duration_since(start).as_millis()).unwrap();
        1000 + ms * entries_per_second / 1000
    };
    let mut pace = Pace::new(now, applied(now));
    while now < start + Duration::from_secs(4) {
        now += pace.wait(now, applied(now), PIECE);
        if now >= start + Duration::from_secs(2) {
            sent += PIECE as u64;
        }
        // Reading and sending take time, too.
        now += Duration::from_micros(100);
    }
    sent / 2
}

#[test]
fn the_more_is_applied_the_slower_a_snapshot_leaves() {
    let mib = |entries| rate(entries) >> 20;
    assert!((950..=1030).contains(&mib(0)), "{}", mib(0));
    assert!((480..=520).contains(&mib(2000)), "{}", mib(2000));
    assert!((90..=96).contains(&mib(20_000)), "{}", mib(20_000));
    // It never stops.
    assert!((15..=17).contains(&mib(10_000_000)));
}

#[test]
fn entries_that_a_snapshot_holds_up_do_not_hasten_it() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 0);
    let mut now = start;
    let mut wait = |entries_per_window: u64, applied: &mut u64| {
        now += Duration::from_millis(50);
        *applied += entries_per_window;
        pace.wait(now, *applied, 0);
        pace.bytes_per_second() / f64::from(1 << 20)
    };
    let mut applied = 0;
    let busy = wait(1000, &mut applied);
    assert!((90.0..=96.0).contains(&busy), "{busy}");
    // A stall of a fifth of a second.
    for _ in 0..4 {
        assert!(wait(0, &mut applied) < busy * 1.3);
    }
    // Five seconds without entries.
    for _ in 0..99 {
        wait(0, &mut applied);
    }
    assert!(wait(0, &mut applied) > 900.0);
}

#[test]
fn until_entries_were_counted_many_are_assumed() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 7);
    assert_eq!(pace.wait(start, 7, PIECE), Duration::ZERO);
    let wait = pace.wait(start, 7, PIECE);
    assert!(wait < Duration::from_millis(3), "{wait:?}");
    let wait = pace.wait(start + Duration::from_millis(49), 7, 8 * PIECE);
    assert_eq!(wait, Duration::ZERO);
    assert!(pace.bytes_per_second() < 1e8);
    pace.wait(start + Duration::from_millis(50), 7, PIECE);
    assert!(pace.bytes_per_second() > 1e9);
}
