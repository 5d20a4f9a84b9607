//! How the tools behave as commands: help, wrong command lines, closed pipes.
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use varve_proto::raftpb::{Entry, HardState};
use varve_vfs::RealFs;
use varve_wal::{Wal, WalOptions};

use crate::tool::{Run, command, run_in};

const TOOLS: [&str; 3] = ["etcd-dump-wal", "etcd-dump-snap", "etcd-dump-db"];

#[test]
fn help_has_examples_and_exit_codes() {
    let scratch = tempfile::tempdir().unwrap();
    for tool in TOOLS {
        let Run { code, out, err } = run_in(scratch.path(), tool, &["--help"]);
        assert_eq!((code, &*err), (Some(0), ""), "{tool}");
        assert!(out.contains(&format!("\nExamples:\n  {tool} ")), "{out}");
        assert!(out.contains("Exit code: 0, 1 when "), "{out}");
        assert!(!out.contains('\x1b'), "no colours without a terminal");
        assert_eq!(run_in(scratch.path(), tool, &["--version"]).code, Some(0));
    }
}

#[test]
fn a_wrong_command_line_is_told_and_exits_with_2() {
    let scratch = tempfile::tempdir().unwrap();
    for (tool, args) in [
        ("etcd-dump-wal", &[][..]),
        ("etcd-dump-wal", &["--no-such-option", "d"]),
        ("etcd-dump-wal", &["-start-index=x", "d"]),
        ("etcd-dump-wal", &["--verify", "--key-prefix", "k", "d"]),
        ("etcd-dump-wal", &["--verify", "--start-index", "3", "d"]),
        ("etcd-dump-wal", &["--raw", "--entry-type", "IRRPut", "d"]),
        ("etcd-dump-snap", &[]),
        ("etcd-dump-snap", &["--no-such-option", "d"]),
        ("etcd-dump-db", &[]),
        ("etcd-dump-db", &["--no-such-option", "info", "d"]),
        ("etcd-dump-db", &["no-such-command", "d"]),
        ("etcd-dump-db", &["hash-kv", "--rev", "-1", "d"]),
        ("etcd-dump-db", &["page", "d"]),
        ("etcd-dump-db", &["--timeout", "10", "info", "d"]),
    ] {
        let Run { code, out, err } = run_in(scratch.path(), tool, args);
        assert_eq!((code, &*out), (Some(2), ""), "{tool} {args:?}");
        assert!(!err.is_empty(), "{tool} {args:?}");
    }
    for args in [
        ["--entry-type", "IRRput", "."],
        ["--request-type", "puts", "."],
    ] {
        std::fs::create_dir_all(scratch.path().join("member/wal")).unwrap();
        let Run { code, err, .. } = run_in(scratch.path(), "etcd-dump-wal", &args);
        assert_eq!(code, Some(1));
        assert!(err.contains("; known are "), "{err}");
    }
}

#[test]
fn who_reads_only_the_head_hears_no_complaint() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("member/wal");
    let mut log = Wal::create(&RealFs::shared(), &dir, &[], WalOptions::default()).unwrap();
    let entry = |index| Entry {
        r#type: 0,
        term: 1,
        index,
        data: Some(vec![0x22, 0].into()),
    };
    let state = HardState {
        term: 1,
        vote: 1,
        commit: 20_000,
    };
    let entries: Vec<_> = (1..=20_000).map(entry).collect();
    log.save(Some(&state), &entries, false).unwrap();
    let mut child = command("etcd-dump-wal")
        .args(["--raw", "."])
        .current_dir(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::with_capacity(64, child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(line, "CRC: 0\n");
    assert_eq!(
        output.status.code(),
        Some(141),
        "as a shell says of SIGPIPE"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
