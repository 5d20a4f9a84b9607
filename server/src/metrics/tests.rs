use super::*;
use crate::config::{Environment, Parsed};
use crate::rpc::{Code, Method};

fn metrics(args: &[&str]) -> Metrics {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    match Config::parse(&args, &Environment::default()).unwrap() {
        Parsed::Run(run) => Metrics::new(&run.config),
        Parsed::Print(_) => unreachable!("no such flag given"),
    }
}

fn text(metrics: &Metrics, sample: &Sample) -> String {
    String::from_utf8(metrics.render(sample).unwrap()).unwrap()
}

/// The value of the series with exactly this name and these labels.
fn value(text: &str, series: &str) -> Option<String> {
    text.lines()
        .find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
}

#[test]
fn what_is_recorded_and_sampled_is_rendered_under_etcds_names() {
    let m = metrics(&["--compat-version=3.5"]);
    m.proposal_started();
    m.proposal_started();
    m.proposal_ended();
    m.leader_changed();
    m.observe_apply("Put", true, Duration::from_micros(150));
    m.observe_apply("Put", true, Duration::from_micros(150));
    m.observe_wal(WalWrite {
        entries: 1,
        duration: Duration::from_millis(3),
        synced: true,
        bytes: 512,
    });
    m.client_request("unary", "3.5.1");
    m.health(true);
    let held = Duration::from_millis(2);
    m.observe_compaction(CompactionStep::Index { held }, 1_700_000_000);
    let (revision, took_ms) = (5, 250);
    m.observe_compaction(
        CompactionStep::Finished { revision, took_ms },
        1_700_000_001,
    );
    let sample = Sample {
        member_id: 0xabc,
        has_leader: true,
        commit_index: 9,
        cluster_version: Some("3.5".to_owned()),
        store: StoreSample {
            compact_revision: -1,
            puts_total: 4,
            leases_granted_total: 1,
            ..StoreSample::default()
        },
        ..Sample::default()
    };
    let t = text(&m, &sample);
    for (series, expected) in [
        ("etcd_server_version{server_version=\"3.5.30\"}", "1"),
        ("etcd_cluster_version{cluster_version=\"3.5\"}", "1"),
        ("etcd_server_id{server_id=\"abc\"}", "1"),
        ("etcd_server_has_leader", "1"),
        ("etcd_server_is_leader", "0"),
        ("etcd_server_leader_changes_seen_total", "1"),
        ("etcd_debugging_mvcc_db_compaction_last", "1700000001"),
        (
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_sum",
            "250",
        ),
        (
            "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds_sum",
            "2",
        ),
        ("etcd_server_proposals_pending", "1"),
        ("etcd_server_proposals_committed_total", "9"),
        ("etcd_server_quota_backend_bytes", "2147483648"),
        ("etcd_server_health_success", "1"),
        (
            "etcd_server_client_requests_total{client_api_version=\"3.5.1\",type=\"unary\"}",
            "1",
        ),
        (
            "etcd_server_apply_duration_seconds_bucket{op=\"Put\",success=\"true\",version=\"v3\",le=\"0.0001\"}",
            "0",
        ),
        (
            "etcd_server_apply_duration_seconds_bucket{op=\"Put\",success=\"true\",version=\"v3\",le=\"0.0002\"}",
            "2",
        ),
        ("etcd_disk_wal_fsync_duration_seconds_count", "1"),
        ("etcd_disk_wal_write_bytes_total", "512"),
        ("etcd_debugging_lease_granted_total", "1"),
        ("etcd_debugging_mvcc_compact_revision", "-1"),
        ("etcd_mvcc_put_total", "4"),
    ] {
        assert_eq!(
            value(&t, series).as_deref(),
            Some(expected),
            "{series}\n{t}"
        );
    }
    assert_ne!(
        value(&t, "process_resident_memory_bytes").as_deref(),
        Some("0")
    );
    assert_ne!(value(&t, "os_fd_limit").as_deref(), Some("0"));
}

#[test]
fn a_new_cluster_version_and_a_cleared_alarm_leave_no_old_series() {
    let m = metrics(&[]);
    let alarm = AlarmSample {
        member_id: 1,
        kind: "NOSPACE",
    };
    let mut sample = Sample {
        cluster_version: Some("3.5".to_owned()),
        alarms: vec![alarm],
        ..Sample::default()
    };
    let t = text(&m, &sample);
    let series = "etcd_debugging_server_alarms{alarm_type=\"NOSPACE\",server_id=\"1\"}";
    assert_eq!(value(&t, series).as_deref(), Some("1"));
    sample.cluster_version = Some("3.6".to_owned());
    sample.alarms.clear();
    let t = text(&m, &sample);
    assert_eq!(
        value(&t, "etcd_cluster_version{cluster_version=\"3.6\"}").as_deref(),
        Some("1")
    );
    assert!(!t.contains("cluster_version=\"3.5\"") && !t.contains("NOSPACE"));
}

#[test]
fn every_method_starts_at_zero_for_every_code_and_counts_its_calls() {
    let m = metrics(&[]);
    let put = m.grpc().method(Method::Put);
    put.started();
    put.received();
    put.sent();
    put.handled(Code::InvalidArgument, Duration::from_millis(1));
    m.grpc().received_bytes(7);
    let t = text(&m, &Sample::default());
    let labels = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
    for (series, expected) in [
        (format!("grpc_server_started_total{{{labels}}}"), "1"),
        (
            format!("grpc_server_handled_total{{grpc_code=\"InvalidArgument\",{labels}}}"),
            "1",
        ),
        (
            format!("grpc_server_handled_total{{grpc_code=\"OK\",{labels}}}"),
            "0",
        ),
        (
            "etcd_network_client_grpc_received_bytes_total".to_owned(),
            "7",
        ),
    ] {
        assert_eq!(value(&t, &series).as_deref(), Some(expected), "{series}");
    }
    let series = t
        .lines()
        .filter(|l| l.starts_with("grpc_server_handled_total{"))
        .count();
    assert_eq!(series, Method::ALL.len() * 17);
    assert!(!t.contains("grpc_server_handling_seconds"));
}

#[test]
fn methods_and_codes_are_indexed_by_their_place_in_their_lists() {
    for (at, method) in Method::ALL.iter().enumerate() {
        assert_eq!(*method as usize, at);
    }
    for (at, code) in grpc::CODES.iter().enumerate() {
        assert_eq!(*code as usize, at);
    }
}

#[test]
fn the_extensive_set_adds_a_histogram_per_method() {
    let m = metrics(&["--metrics=extensive"]);
    m.grpc()
        .method(Method::Range)
        .handled(Code::Ok, Duration::from_millis(1));
    let t = text(&m, &Sample::default());
    let labels = "grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
    let series = format!("grpc_server_handling_seconds_count{{{labels}}}");
    assert_eq!(value(&t, &series).as_deref(), Some("1"));
}

#[test]
fn counters_never_go_back_when_scrapes_overlap() {
    let m = metrics(&[]);
    let with = |puts_total| Sample {
        store: StoreSample {
            puts_total,
            ..StoreSample::default()
        },
        ..Sample::default()
    };
    text(&m, &with(5));
    assert_eq!(
        value(&text(&m, &with(3)), "etcd_mvcc_put_total").as_deref(),
        Some("5")
    );
    assert_eq!(
        value(&text(&m, &with(8)), "etcd_mvcc_put_total").as_deref(),
        Some("8")
    );
}
