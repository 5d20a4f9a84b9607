use proptest::prelude::*;

use super::*;

proptest! {
    /// Against the sorted list of latencies: counts and extremes exactly, quantiles to the three
    /// digits of the histogram.
    #[test]
    fn statistics_agree_with_the_sorted_latencies(
        nanos in proptest::collection::vec(1u64..10_000_000_000, 1..300),
    ) {
        let mut recorder = Recorder::new(None).unwrap();
        for &n in &nanos {
            recorder.record(Duration::from_nanos(n), Duration::ZERO);
        }
        let mut sorted = nanos.clone();
        sorted.sort_unstable();
        prop_assert_eq!(recorder.succeeded(), sorted.len() as u64);
        prop_assert_eq!(recorder.fastest(), Duration::from_nanos(sorted[0]));
        prop_assert_eq!(recorder.slowest(), Duration::from_nanos(*sorted.last().unwrap()));
        let mean = Duration::from_nanos(sorted.iter().sum::<u64>()).as_secs_f64()
            / f64::from(u32::try_from(sorted.len()).unwrap());
        prop_assert!((recorder.average_seconds() - mean).abs() <= mean * 1e-9 + 1e-9);
        for percent in [10, 50, 90, 99] {
            let rank = (percent * sorted.len()).div_ceil(100).max(1);
            let exact = Duration::from_nanos(sorted[rank - 1]);
            let quantile = f64::from(u32::try_from(percent).unwrap()) / 100.0;
            let got = recorder.quantile(quantile);
            let off = got.abs_diff(exact);
            prop_assert!(off <= exact / 500 + Duration::from_nanos(1), "{got:?} for {exact:?}");
        }
        let slowest = recorder.slowest();
        prop_assert_eq!(recorder.count_between(None, slowest), sorted.len() as u64);
        let middle = recorder.quantile(0.5);
        let halves =
            recorder.count_between(None, middle) + recorder.count_between(Some(middle), slowest);
        prop_assert_eq!(halves, sorted.len() as u64);
    }
}

#[test]
fn samples_hold_what_ended_in_their_interval_and_show_gaps() {
    let mut recorder = Recorder::new(Some(Duration::from_millis(100))).unwrap();
    let ms = Duration::from_millis;
    recorder.record(ms(10), ms(20));
    recorder.record(ms(30), ms(99));
    recorder.record(ms(200), ms(350));
    let (interval, rows) = recorder.samples().unwrap();
    assert_eq!(interval, ms(100));
    assert_eq!(
        rows.iter().map(|r| r.requests).collect::<Vec<_>>(),
        [2, 0, 0, 1]
    );
    assert_eq!(
        (rows[0].fastest, rows[0].average(), rows[0].slowest),
        (ms(10), ms(20), ms(30))
    );
    assert_eq!(rows[1].average(), Duration::ZERO);
}

#[test]
fn errors_are_counted_by_code_and_text() {
    let mut recorder = Recorder::new(None).unwrap();
    recorder.record_error(&Status::unavailable("etcdserver: no leader"));
    recorder.record_error(&Status::unavailable("etcdserver: no leader"));
    recorder.record_error(&Status::not_found("etcdserver: requested lease not found"));
    assert_eq!(recorder.failed(), 3);
    assert_eq!(recorder.errors()["Unavailable: etcdserver: no leader"], 2);
    assert_eq!(recorder.succeeded(), 0);
    assert!(recorder.average_seconds().abs() < f64::EPSILON);
}

#[test]
fn merging_equals_recording_everything_in_one() {
    let interval = Some(Duration::from_millis(10));
    let all: Vec<_> = (1..500u64)
        .map(|i| Duration::from_micros(i * i % 9973 + 1))
        .collect();
    let mut whole = Recorder::new(interval).unwrap();
    let mut parts = [
        Recorder::new(interval).unwrap(),
        Recorder::new(interval).unwrap(),
    ];
    for (i, &latency) in all.iter().enumerate() {
        let ended = latency * 20;
        whole.record(latency, ended);
        parts[usize::from(i % 3 == 0)].record(latency, ended);
    }
    let [mut merged, other] = parts;
    merged.record_error(&Status::aborted("x"));
    whole.record_error(&Status::aborted("x"));
    merged.merge(&other).unwrap();
    assert_eq!(merged.succeeded(), whole.succeeded());
    assert_eq!(merged.failed(), 1);
    assert_eq!(
        (merged.fastest(), merged.slowest()),
        (whole.fastest(), whole.slowest())
    );
    for quantile in [0.01, 0.5, 0.999] {
        assert_eq!(merged.quantile(quantile), whole.quantile(quantile));
    }
    let rows = |recorder: &Recorder| {
        let rows = recorder.samples().unwrap().1.iter();
        rows.map(|r| (r.requests, r.fastest, r.average(), r.slowest))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&merged), rows(&whole));
}
