use std::time::Duration;

use super::{PeerMetrics, count};

#[test]
fn histograms_have_etcds_buckets_and_count_upwards() {
    let metrics = PeerMetrics::default();
    let member = metrics.member(7);
    for millis in [0, 1, 2, 5_000] {
        member.round_trip(Duration::from_millis(millis));
        member
            .snapshot_send
            .succeeded(Duration::from_millis(millis));
    }
    let figures = &metrics.figures().members[0];
    let rtt = &figures.round_trip_seconds;
    assert_eq!(rtt.buckets.len(), 16);
    assert!((rtt.buckets[0].0 - 0.0001).abs() < 1e-9 && (rtt.buckets[15].0 - 3.2768).abs() < 1e-9);
    assert_eq!(
        (rtt.buckets[0].1, rtt.buckets[4].1, rtt.buckets[15].1),
        (1, 2, 3)
    );
    assert_eq!(rtt.count, 4);
    assert!((rtt.sum - 5.003).abs() < 1e-9);
    let sent = &figures.snapshot_send_seconds;
    assert_eq!(
        (sent.buckets.len(), sent.count, figures.snapshot_sent),
        (10, 4, 4)
    );
    assert!((sent.buckets[9].0 - 51.2).abs() < 1e-9);
    assert_eq!(sent.buckets[9].1, 4);
}

#[test]
fn ids_and_addresses_that_could_be_anything_are_bounded() {
    let metrics = PeerMetrics::default();
    for id in 0..5_000 {
        count(&metrics.member(id).sent_bytes, 1);
        metrics.receive_failed(id.to_string());
    }
    let figures = metrics.figures();
    assert_eq!(figures.members.len(), super::MAX_MEMBERS);
    assert_eq!(figures.receive_failures.len(), super::MAX_MEMBERS);
}
