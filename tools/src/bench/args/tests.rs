use clap::{CommandFactory, Parser};

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn defaults_are_those_of_etcds_benchmark() {
    let cli = Cli::parse_from(["varve-bench", "put"]);
    assert_eq!(cli.global.endpoints, ["127.0.0.1:2379"]);
    assert_eq!((cli.global.conns, cli.global.clients), (1, 1));
    let Command::Put(put) = cli.command else {
        panic!("not put")
    };
    assert_eq!((put.key_size, put.val_size, put.total), (8, 8, 10_000));
    assert_eq!(
        (put.rate, put.key_space_size, put.compact_index_delta),
        (0, 1, 1000)
    );
    assert!(!put.sequential_keys && !put.check_hashkv && put.compact_interval.is_zero());

    let Command::WatchLatency(watch) = Cli::parse_from(["varve-bench", "watch-latency"]).command
    else {
        panic!("not watch-latency")
    };
    assert_eq!((watch.streams, watch.watchers_per_stream), (10, 10));
    assert_eq!((watch.put_total, watch.put_rate), (1000, 100));
    assert_eq!((watch.key_size, watch.val_size), (32, 32));
}

#[test]
fn global_flags_may_follow_the_command() {
    let cli = Cli::parse_from(["varve-bench", "put", "--conns=3", "--endpoints", "a:1,b:2"]);
    assert_eq!(cli.global.conns, 3);
    assert_eq!(cli.global.endpoints, ["a:1", "b:2"]);
}

#[test]
fn contradictions_are_refused() {
    for args in [
        &["range"][..],
        &["range", "k", "--count-only", "--keys-only"],
        &["range", "k", "--paginate", "--limit", "3"],
        &["range", "k", "--consistency", "x"],
        &["range", "k", "e", "--prefix"],
        &["put", "--key-space-size", "0"],
        &["put", "--clients", "0"],
        &["put", "--cert", "file"],
        &["put", "--compact-interval", "5"],
    ] {
        let line = std::iter::once("varve-bench").chain(args.iter().copied());
        assert!(Cli::try_parse_from(line).is_err(), "{args:?} was accepted");
    }
}

#[test]
fn durations_read_as_go_writes_them() {
    let check = |text: &str, want: Option<Duration>| {
        assert_eq!(duration(text).ok(), want, "{text}");
    };
    check("0", Some(Duration::ZERO));
    check("1h2m3s", Some(Duration::from_secs(3723)));
    check("1.5s", Some(Duration::from_millis(1500)));
    check("100ms", Some(Duration::from_millis(100)));
    check("20us", Some(Duration::from_micros(20)));
    for bad in [
        "",
        "5",
        "s",
        "-1s",
        "1d",
        "1..2s",
        "99999999999999999999999h",
    ] {
        check(bad, None);
    }
}
