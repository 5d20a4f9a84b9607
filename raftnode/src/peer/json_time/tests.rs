use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{format, parse};

fn at(seconds: u64, nanos: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// Instants with the texts that Go's `time.Time` gives for them.
const KNOWN: [(u64, u32, &str); 6] = [
    (0, 0, "1970-01-01T00:00:00Z"),
    (951_782_399, 0, "2000-02-28T23:59:59Z"),
    (951_782_400, 0, "2000-02-29T00:00:00Z"),
    (1_709_251_199, 999_999_999, "2024-02-29T23:59:59.999999999Z"),
    (1_795_253_820, 120_000_000, "2026-11-21T09:37:00.12Z"),
    (4_107_542_400, 1, "2100-03-01T00:00:00.000000001Z"),
];

#[test]
fn instants_are_written_and_read_as_go_does() {
    for (seconds, nanos, text) in KNOWN {
        assert_eq!(format(at(seconds, nanos)), text);
        assert_eq!(parse(text), Some(at(seconds, nanos)), "{text}");
    }
}

#[test]
fn every_day_comes_back() {
    for day in 0..60_000 {
        let time = at(day * 86_400 + 1, 5);
        assert_eq!(parse(&format(time)), Some(time), "day {day}");
    }
}

#[test]
fn offsets_are_taken_off() {
    let time = Some(at(1_795_253_820, 0));
    assert_eq!(parse("2026-11-21T10:37:00+01:00"), time);
    assert_eq!(parse("2026-11-21T04:07:00-05:30"), time);
}

#[test]
fn what_is_no_time_is_none() {
    let good = "2026-11-21T09:37:00.5Z";
    for end in 0..good.len() {
        assert_eq!(parse(&good[..end]), None, "{}", &good[..end]);
    }
    for bad in [
        "2026-13-21T09:37:00Z",
        "2026-11-00T09:37:00Z",
        "2026-11-21T09:37:00.Z",
        "2026-11-21T09:37:00.xZ",
        "2026-11-21T09:37:00+1",
        "1969-11-21T09:37:00Z",
        "2026-11-21 09:37:00Z",
    ] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}
