use tonic::Status;

use super::super::server_stats::{ServerUsage, Snapshot};
use super::*;

/// A run of 100 requests of 1 to 100 ms in two seconds, and one error.
pub(in super::super) fn sample_report() -> Report {
    let mut recorder = Recorder::new(Some(Duration::from_secs(1))).unwrap();
    for ms in 1..=100 {
        recorder.record(Duration::from_millis(ms), Duration::from_millis(ms * 19));
    }
    recorder.record_error(&Status::unavailable("etcdserver: no leader"));
    let idle = Snapshot::of_self().unwrap();
    let client = Usage::between(&idle, &idle);
    let usage = Usage {
        user: Duration::from_millis(40),
        system: Duration::from_millis(10),
        rss_bytes: 3 << 20,
        peak_rss_bytes: 5 << 20,
        written_bytes: Some(51_200),
    };
    Report {
        name: "put",
        elapsed: Duration::from_secs(2),
        recorder,
        client,
        servers: vec![ServerUsage { pid: 7, usage }],
        hash_kv: None,
    }
}

#[test]
fn json_holds_what_was_measured_per_operation() {
    let json = sample_report().to_json();
    assert_eq!(json["requests"], 100);
    assert_eq!(json["errors"], 1);
    assert_eq!(json["requests_per_second"], 50.0);
    assert_eq!(json["latency_us"]["min"], 1000.0);
    assert_eq!(json["latency_us"]["mean"], 50_500.0);
    assert_eq!(json["latency_us"]["max"], 100_000.0);
    let p99 = json["latency_us"]["p99"].as_f64().unwrap();
    assert!((p99 - 99_000.0).abs() < 200.0, "{p99}");
    assert_eq!(
        json["error_distribution"]["Unavailable: etcdserver: no leader"],
        1
    );
    assert_eq!(json["server"]["cpu_us_per_op"], 500.0);
    assert_eq!(json["server"]["cores_busy"], 0.025);
    assert_eq!(json["server"]["peak_rss_bytes"], 5 << 20);
    assert_eq!(json["server"]["written_bytes_per_op"], 512.0);
    assert_eq!(json["samples"][0]["requests"], 52);
    assert_eq!(json["samples"].as_array().unwrap().len(), 2);
}

#[test]
fn json_holds_the_sum_over_servers_and_each_of_several() {
    let mut report = sample_report();
    assert!(report.to_json().get("servers").is_none());
    let usage = Usage {
        user: Duration::from_millis(100),
        written_bytes: None,
        ..report.servers[0].usage.clone()
    };
    report.servers.push(ServerUsage { pid: 9, usage });
    let json = report.to_json();
    assert_eq!(json["server"]["cpu_us_per_op"], 1600.0);
    assert!(json["server"]["written_bytes"].is_null());
    assert_eq!(json["servers"][0]["pid"], 7);
    assert_eq!(json["servers"][0]["cpu_us_per_op"], 500.0);
    assert_eq!(json["servers"][0]["written_bytes"], 51_200);
    assert_eq!(json["servers"][1]["pid"], 9);
    assert_eq!(json["servers"][1]["cpu_us_per_op"], 1100.0);
}

#[test]
fn an_unsuccessful_run_has_figures_without_infinities() {
    let report = Report {
        recorder: Recorder::new(None).unwrap(),
        ..sample_report()
    };
    let json = report.to_json();
    assert_eq!(json["requests_per_second"], 0.0);
    assert_eq!(json["latency_us"]["p50"], 0.0);
    assert!(json["server"]["cpu_us_per_op"].is_f64());
}
