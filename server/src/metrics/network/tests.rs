//! Properties of the written families.
use super::*;

fn written(known: &[u64], figures: &PeerFigures) -> String {
    let mut out = Vec::new();
    write(&mut out, 0xa, known, figures);
    String::from_utf8(out).unwrap()
}

#[test]
fn nothing_is_shown_of_what_was_not_counted() {
    assert_eq!(written(&[], &PeerFigures::default()), "");
    let mut figures = PeerFigures::default();
    figures.members.push(MemberFigures::default());
    assert_eq!(written(&[], &figures), "");
}

#[test]
fn each_figure_has_etcd_s_name_and_labels() {
    let mut member = MemberFigures::default();
    member.id = 0xb;
    member.active = 1;
    member.was_active = true;
    member.sent_bytes = 7;
    member.received_failures = 2;
    member.round_trip_seconds = HistogramFigures {
        buckets: vec![(0.1, 1), (0.2, 1)],
        count: 2,
        sum: 0.5,
    };
    let figures = PeerFigures {
        members: vec![member],
        receive_failures: vec![("10.0.0.1".to_owned(), 3)],
    };
    let text = written(&[0xb], &figures);
    for line in [
        "etcd_network_known_peers{Local=\"a\",Remote=\"b\"} 1",
        "etcd_network_active_peers{Local=\"a\",Remote=\"b\"} 1",
        "etcd_network_disconnected_peers_total{Local=\"a\",Remote=\"b\"} 0",
        "etcd_network_peer_sent_bytes_total{To=\"b\"} 7",
        "etcd_network_peer_received_failures_total{From=\"b\"} 2",
        "etcd_network_peer_received_failures_total{From=\"10.0.0.1\"} 3",
        "etcd_network_peer_round_trip_time_seconds_bucket{To=\"b\",le=\"0.1\"} 1",
        "etcd_network_peer_round_trip_time_seconds_bucket{To=\"b\",le=\"+Inf\"} 2",
        "etcd_network_peer_round_trip_time_seconds_sum{To=\"b\"} 0.5",
        "etcd_network_peer_round_trip_time_seconds_count{To=\"b\"} 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("snapshot_send"), "{text}");
}
