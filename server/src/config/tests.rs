use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn env(variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        default_host: Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))),
    }
}

fn parse_with(args: &[&str], environment: &Environment) -> Result<Run, ConfigError> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    match Config::parse(&args, environment)? {
        Parsed::Run(run) => Ok(*run),
        Parsed::Print(text) => panic!("printed {text}"),
    }
}

fn parse(args: &[&str]) -> Result<Config, ConfigError> {
    parse_with(args, &env(&[])).map(|run| run.config)
}

fn refused(args: &[&str], text: &str, code: u8) {
    let e = parse(args).unwrap_err();
    assert!(e.to_string().contains(text), "{args:?}: {e}");
    assert_eq!(e.exit_code(), code, "{args:?}: {e}");
}

#[test]
fn without_flags_the_defaults_are_those_of_etcd() {
    let c = parse(&[]).unwrap();
    assert_eq!(c.compat, CompatVersion::V36);
    assert_eq!(c.name, "default");
    assert_eq!(c.data_dir, PathBuf::from("default.etcd"));
    assert_eq!(c.snapshot_count, 10_000);
    assert_eq!(
        c.initial_cluster.to_string(),
        "default=http://localhost:2380"
    );
    assert_eq!(c.listen_client_urls[0].to_string(), "http://localhost:2379");
    assert_eq!(c.quota_bytes(), Some(2 << 30));
    assert!(c.initial_cluster_is_new);
    assert_eq!(c.election_ticks(), 10);
    assert_eq!(c.request_timeout(), Duration::from_secs(7));
    assert_eq!(c.max_request_bytes, 1_572_864);
    assert_eq!(c.auto_compaction, AutoCompaction::Off);
    assert_eq!(c.log_outputs, [LogOutput::Stderr]);
    assert!(
        c.initial_cluster
            .verify(&c.name, &c.initial_advertise_peer_urls)
            .is_ok()
    );
}

#[test]
fn the_declared_release_changes_its_defaults() {
    let c = parse(&["--compat-version=3.5"]).unwrap();
    assert_eq!((c.compat, c.snapshot_count), (CompatVersion::V35, 100_000));
    assert_eq!(c.compat.server_version(), "3.5.30");
    refused(&["--compat-version", "3.7"], "expected 3.5 or 3.6", 2);
}

#[test]
fn flags_are_read_as_go_reads_them() {
    let c = parse(&[
        "-name",
        "a",
        "--name=s1",
        "-heartbeat-interval=50",
        "--pre-vote=false",
        "--unsafe-no-fsync",
        "--auto-compaction-mode",
        "revision",
        "--initial-cluster-token",
        "--odd",
        "--experimental-compaction-batch-limit",
        "7",
    ])
    .unwrap();
    assert_eq!(c.name, "s1");
    assert_eq!(c.heartbeat_interval, Duration::from_millis(50));
    assert!(!c.pre_vote);
    assert!(c.unsafe_no_fsync);
    assert_eq!(c.initial_cluster_token, "--odd");
    assert_eq!(c.compaction_batch_limit, 7);
    assert_eq!(c.initial_cluster.to_string(), "s1=http://localhost:2380");
}

#[test]
fn a_command_line_that_cannot_be_read_ends_with_2() {
    refused(&["--foo"], "--foo", 2);
    refused(&["--data-dri", "x"], "--data-dir", 2);
    refused(&["--name"], "flag needs an argument: -name", 2);
    refused(&["--heartbeat-interval", "abc"], "abc", 2);
    refused(&["--heartbeat-interval=-1"], "-1", 2);
    refused(&["--pre-vote=maybe"], "maybe", 2);
    refused(&["---name=x"], "bad flag syntax", 2);
    refused(
        &["--listen-client-urls", "localhost:1"],
        "URL scheme must be",
        2,
    );
    refused(&["--initial-cluster-state", "old"], "old", 2);
}

#[test]
fn values_that_cannot_be_used_end_with_1() {
    refused(&["stray"], "'stray' is not a valid flag", 1);
    refused(&["--pre-vote", "false"], "'false' is not a valid flag", 1);
    refused(
        &["--heartbeat-interval", "0"],
        "--heartbeat-interval must be >0 (set to 0ms)",
        1,
    );
    refused(
        &["--election-timeout", "0"],
        "--election-timeout must be >0",
        1,
    );
    refused(&["--election-timeout", "400"], "at least as 5 times", 1);
    refused(&["--election-timeout", "50001"], "is too long", 1);
    refused(
        &["--listen-client-urls", "http://127.0.0.1:1"],
        "--advertise-client-urls is required",
        1,
    );
    refused(
        &["--listen-peer-urls", "http://example.com:1"],
        "expected IP in URL for binding",
        1,
    );
    refused(
        &["--listen-peer-urls", "https://127.0.0.1:1"],
        "KeyFile and CertFile are not presented",
        1,
    );
    refused(
        &["--auto-compaction-mode", "x"],
        "unknown auto-compaction-mode",
        1,
    );
    refused(&["--log-level", "loud"], "unknown --log-level", 1);
    refused(&["--logger", "capnslog"], "unknown logger option", 1);
    refused(&["--initial-cluster", "a=nope"], "URL scheme must be", 1);
}

#[test]
fn flags_without_an_implementation_are_refused_by_name_unless_they_ask_for_what_we_do() {
    refused(
        &["--cert-file", "x"],
        "--cert-file is not supported yet by this version of varve",
        2,
    );
    refused(&["--auto-tls"], "--auto-tls is not supported yet", 2);
    refused(&["--backend", "lsm"], "not supported yet", 2);
    let e = parse_with(&[], &env(&[("ETCD_PEER_AUTO_TLS", "true")])).unwrap_err();
    assert_eq!(
        e,
        ConfigError::NotSupportedYet {
            flag: "peer-auto-tls".to_owned()
        }
    );
    parse(&["--auto-tls=false", "--cert-file=", "--proxy", "off"]).unwrap();
    parse_with(
        &[],
        &env(&[("ETCD_AUTO_TLS", "false"), ("ETCD_CERT_FILE", "")]),
    )
    .unwrap();
}

#[test]
fn every_known_name_belongs_to_one_table() {
    let command = flags::Flags::command();
    let mut honoured: Vec<String> = Vec::new();
    for arg in command.get_arguments() {
        honoured.extend(arg.get_long().map(str::to_owned));
        honoured.extend(
            arg.get_all_aliases()
                .unwrap_or_default()
                .iter()
                .map(|a| (*a).to_owned()),
        );
    }
    let mut all: Vec<&str> = honoured.iter().map(String::as_str).collect();
    all.extend(known::UNSUPPORTED.iter().map(|u| u.name));
    all.extend(known::IGNORED);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn the_environment_stands_behind_flags_and_may_not_be_shadowed() {
    let run = parse_with(
        &["--name", "flag"],
        &env(&[
            ("ETCD_DATA_DIR", "/d"),
            ("ETCD_PRE_VOTE", "false"),
            ("ETCD_WAL_DIR", ""),
            ("HOME", "/"),
        ]),
    )
    .unwrap();
    assert_eq!(run.config.data_dir, PathBuf::from("/d"));
    assert!(!run.config.pre_vote);
    assert_eq!(run.config.wal_dir, None);
    assert_eq!(run.warnings, []);
    for value in ["flag", ""] {
        let e = parse_with(&["--name", "flag"], &env(&[("ETCD_NAME", value)])).unwrap_err();
        assert!(
            matches!(&e, ConfigError::Shadowed { variable, .. } if variable == "ETCD_NAME"),
            "{e}"
        );
        assert_eq!(e.exit_code(), 1);
    }
}

#[test]
fn what_has_no_effect_is_said() {
    let environment = env(&[
        ("ETCD_FOO", "1"),
        ("ETCD_UNSUPPORTED_ARCH", "arm"),
        ("ETCD_FORCE", "1"),
    ]);
    let run = parse_with(
        &["--snapshot", "--experimental-warning-apply-duration=5ms"],
        &environment,
    )
    .unwrap();
    assert_eq!(
        run.warnings,
        [
            Warning::Ignored("snapshot".to_owned()),
            Warning::OldName {
                given: "experimental-warning-apply-duration".to_owned(),
                current: "warning-apply-duration".to_owned(),
            },
            Warning::Ignored("force".to_owned()),
            Warning::UnknownVariable("ETCD_FOO=1".to_owned()),
        ]
    );
    assert_eq!(run.config.warning_apply_duration, Duration::from_millis(5));
}

#[test]
fn a_member_that_listens_everywhere_advertises_the_hosts_address() {
    let c = parse(&["--name", "m", "--listen-peer-urls", "http://0.0.0.0:7000"]).unwrap();
    assert_eq!(
        c.initial_advertise_peer_urls[0].to_string(),
        "http://10.1.2.3:7000"
    );
    assert_eq!(c.initial_cluster.to_string(), "m=http://10.1.2.3:7000");
    assert_eq!(
        c.advertise_client_urls[0].to_string(),
        "http://localhost:2379"
    );
}

#[test]
fn the_initial_cluster_must_hold_this_member_under_its_urls() {
    let c = InitialCluster::parse("a=http://x:1,b=http://y:1,a=http://x:0").unwrap();
    assert_eq!(c.to_string(), "a=http://x:0,a=http://x:1,b=http://y:1");
    let y = Url::parse_list("http://y:1").unwrap();
    assert_eq!(c.verify("b", &y), Ok(()));
    assert!(
        c.verify("z", &y)
            .unwrap_err()
            .contains("couldn't find local name \"z\"")
    );
    assert!(
        c.verify("a", &y)
            .unwrap_err()
            .contains("missing from --initial-advertise-peer-urls")
    );
    let more = Url::parse_list("http://y:1,http://y:2").unwrap();
    assert!(
        c.verify("b", &more)
            .unwrap_err()
            .contains("missing from --initial-cluster")
    );
    let twice = InitialCluster::parse("a=http://x:1,b=http://x:1").unwrap();
    assert!(
        twice
            .verify("a", &Url::parse_list("http://x:1").unwrap())
            .unwrap_err()
            .contains("duplicate url")
    );
}

#[test]
fn automatic_compaction_is_read_in_both_modes() {
    let mode = |m: &str, r: &str| AutoCompaction::parse(m, r);
    assert_eq!(mode("periodic", "0").unwrap(), AutoCompaction::Off);
    assert_eq!(mode("revision", "0").unwrap(), AutoCompaction::Off);
    assert_eq!(
        mode("periodic", "2").unwrap(),
        AutoCompaction::Periodic(Duration::from_hours(2))
    );
    assert_eq!(
        mode("periodic", "5m").unwrap(),
        AutoCompaction::Periodic(Duration::from_mins(5))
    );
    assert_eq!(
        mode("revision", "1000").unwrap(),
        AutoCompaction::Revision(1000)
    );
    for (m, r) in [
        ("revision", "5m"),
        ("periodic", "x"),
        ("", "1"),
        ("periodic", "-1"),
    ] {
        assert!(mode(m, r).is_err(), "{m} {r}");
    }
}

#[test]
fn help_and_version_are_printed() {
    let print = |arg: &str| match Config::parse(&[arg.to_owned()], &env(&[])).unwrap() {
        Parsed::Print(text) => text,
        Parsed::Run(_) => panic!("{arg} started a member"),
    };
    assert!(print("--version").contains("etcd Version: 3.6.14"));
    for arg in ["-h", "--help"] {
        assert!(print(arg).contains("--initial-cluster-token"), "{arg}");
    }
}
