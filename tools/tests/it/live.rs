//! The tools beside a member at work: they never fail, never keep it from working, and see what it did.
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use varve_proto::raftpb::{Entry, HardState};
use varve_vfs::RealFs;
use varve_wal::{Wal, WalOptions};

use crate::against_etcd::Etcd;
use crate::tool::{Run, run, run_in};

/// Everything the tools can be asked about a data directory.
const COMMANDS: [(&str, &[&str]); 12] = [
    ("etcd-dump-wal", &["--verify", "."]),
    ("etcd-dump-wal", &["--stat", "."]),
    ("etcd-dump-wal", &["--raw", "."]),
    ("etcd-dump-wal", &["--json", "--start-index", "1", "."]),
    ("etcd-dump-wal", &["."]),
    ("etcd-dump-snap", &["--verify", "."]),
    ("etcd-dump-db", &["--timeout", "60s", "check", "."]),
    ("etcd-dump-db", &["--timeout", "60s", "info", "."]),
    ("etcd-dump-db", &["--timeout", "60s", "hash-kv", "."]),
    ("etcd-dump-db", &["--timeout", "60s", "tree", "."]),
    ("etcd-dump-db", &["scan-keys", ".", "0"]),
    ("etcd-dump-db", &["iterate-bucket", "--decode", ".", "key"]),
];

#[test]
fn an_etcd_under_writes_is_looked_at_and_does_not_notice() {
    let Some(dir) = std::env::var_os("VARVE_ETCD_DIR") else {
        eprintln!("skipped: VARVE_ETCD_DIR is not set");
        return;
    };
    let etcd = Etcd::start(&PathBuf::from(dir).join("etcd"), 2);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let load = ["put", "--total", "1500", "--rate", "500", "--clients", "4"];
            let shape = [
                "--val-size",
                "300",
                "--key-space-size",
                "400",
                "--check-hashkv",
            ];
            let answer = etcd.bench(&[&load[..], &shape].concat());
            done.store(true, Ordering::Relaxed);
            answer
        });
        let mut rounds = 0;
        while rounds < 1 || (!done.load(Ordering::Relaxed) && rounds < 20) {
            for (tool, args) in COMMANDS {
                let Run { code, err, .. } = run_in(&etcd.data_dir(), tool, args);
                assert_eq!(code, Some(0), "{tool} {args:?}: {err}");
                assert!(!err.contains("error:"), "{tool} {args:?}: {err}");
            }
            rounds += 1;
        }
        let (code, report) = load.join().unwrap();
        assert_eq!((code, &report["errors"]), (Some(0), &0.into()), "{report}");
        let (revision, hash) = (&report["hash_kv"]["revision"], &report["hash_kv"]["hash"]);
        // etcd commits what it applied within its batch interval.
        let revision = revision.as_i64().unwrap();
        let give_up = Instant::now() + Duration::from_mins(1);
        let args = ["hash-kv", "--rev", &revision.to_string()];
        let found = loop {
            let found = run("etcd-dump-db", &args, &etcd.data_dir());
            if found.code == Some(0) || Instant::now() > give_up {
                break found;
            }
        };
        let expected = format!("Hash: {hash}\nhash revision: {revision}\n");
        assert!(found.out.contains(&expected), "{found:?} {report}");
    });
}

/// Sets the flag when it goes, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_log_that_grows_and_is_cut_is_never_called_damaged() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("member/wal");
    let options = WalOptions {
        segment_size_bytes: 64 << 10,
        ..WalOptions::default()
    };
    let fs = RealFs::shared();
    let mut log = Wal::create(&fs, &dir, &[8, 1, 16, 2], options).unwrap();
    let batch = |first: u64| -> Vec<Entry> {
        let entry = |index| Entry {
            r#type: 0,
            term: 1,
            index,
            // Longer than a page, so that a record may be seen in part.
            data: Some(vec![b'x'; 40 + usize::try_from(index % 7).unwrap() * 1000].into()),
        };
        (first..first + 5).map(entry).collect()
    };
    let state = |commit| HardState {
        term: 1,
        vote: 1,
        commit,
    };
    log.save(Some(&state(5)), &batch(1), false).unwrap();
    let (stop, mut next) = (AtomicBool::new(false), 6);
    std::thread::scope(|scope| {
        let stopped = StopOnDrop(&stop);
        let stop = &stop;
        let writer = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) && next < 30_000 {
                log.save(Some(&state(next + 4)), &batch(next), false)
                    .unwrap();
                next += 5;
            }
            log.close().unwrap();
            next - 1
        });
        let mut last = 0;
        for (_, args) in COMMANDS[..4].repeat(4) {
            let Run { code, out, err } = run_in(scratch.path(), "etcd-dump-wal", args);
            assert_eq!(code, Some(0), "{args:?}: {err}");
            assert!(!err.contains("error:"), "{args:?}: {err}");
            if args[0] == "--json" {
                let lines = out
                    .lines()
                    .map(|line| serde_json::from_str::<Json>(line).unwrap());
                let indexes: Vec<_> = lines.filter_map(|line| line["index"].as_u64()).collect();
                assert!(indexes.windows(2).all(|pair| pair[1] == pair[0] + 1));
                let newest = *indexes.last().unwrap();
                assert!(newest >= last, "{newest} after {last}");
                last = newest;
            }
        }
        drop(stopped);
        let written = writer.join().unwrap();
        assert!(written >= last && last > 5, "{written} {last}");
    });
}
