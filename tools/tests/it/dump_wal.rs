//! `etcd-dump-wal`, as a program.
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use varve_proto::raftpb::{ConfState, Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{OpenOptions, RealFs};
use varve_wal::{Appender, Wal, WalOptions};

use crate::archive::members;

fn dump(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etcd-dump-wal"))
        .args(args)
        .arg(dir)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Names, sizes, times and modes below a directory: what a reader must not change.
fn state_of(dir: &Path) -> Vec<(String, u64, i64, i64, u32)> {
    let mut state = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        state.push((
            name,
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.mode(),
        ));
        if meta.is_dir() {
            state.extend(state_of(&entry.path()));
        }
    }
    state.sort();
    state
}

#[test]
fn listings_are_those_of_etcd_s_tool_and_change_nothing() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dump-logs");
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(name) = file.strip_suffix(".txt") else {
            continue;
        };
        let expected = std::fs::read_to_string(&path).unwrap();
        let (name, args) = match name.strip_suffix(".raw") {
            Some(name) => (name, &["-raw"][..]),
            None => (name, &[][..]),
        };
        members(name, |_, dir| {
            let before = state_of(dir);
            let output = dump(args, dir);
            assert_eq!(stdout(&output), expected, "{file}");
            assert!(output.status.success() && output.stderr.is_empty());
            assert_eq!(state_of(dir), before, "{file}");
        });
    }
}

#[test]
fn every_entry_of_every_archive_is_decoded_without_a_remainder() {
    members("", |name, dir| {
        if name.starts_with("torn-") {
            return;
        }
        let output = dump(&["--json", "--start-index", "1"], dir);
        let text = stdout(&output);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(!line.contains("unknown_fields"), "{name}: {line}");
            assert_ne!(object["type"], "unknown", "{name}: {line}");
        }
        assert!(text.lines().count() > 1, "{name}");
        let verdict = dump(&["--verify"], dir);
        assert!(verdict.status.success(), "{name}: {}", stderr(&verdict));
    });
}

#[test]
fn damaged_logs_are_shown_up_to_the_damage_and_fail_to_verify() {
    members("torn-", |name, dir| {
        let case = name.split('-').nth(1).unwrap();
        let verdict = dump(&["--verify"], dir);
        // Cut exactly after a record, or with garbage behind a sound end: nothing is wrong.
        assert_eq!(
            verdict.status.success(),
            ["D2", "E"].contains(&case),
            "{name}"
        );
        let (text, errors) = (stdout(&verdict), stderr(&verdict));
        if verdict.status.success() {
            assert!(text.starts_with("OK: "), "{text}");
        } else {
            assert!(text.starts_with("DAMAGED: "), "{text}");
            assert!(
                errors.contains("0000000000000000-0000000000000000.wal"),
                "{errors}"
            );
        }
        let listing = dump(&["--start-index=1"], dir);
        // B1, H and I are damage; the rest is what a crash may leave, which is no failure to list.
        assert_eq!(
            listing.status.success(),
            !["B1", "H", "I"].contains(&case),
            "{name}"
        );
        assert!(stdout(&listing).contains("ConfChangeAddNode"), "{name}");
    });
}

/// A log of ours, held open as by a running member.
fn live_log(dir: &Path) -> Appender {
    let options = WalOptions {
        segment_size_bytes: 4096,
        ..WalOptions::default()
    };
    // Member 1 of cluster 2.
    let wal = dir.join("member/wal");
    let mut log = Wal::create(&RealFs::shared(), &wal, &[8, 1, 16, 2], options).unwrap();
    for index in 1..=10 {
        // put { key: "k<index>", value: 600 times "v" }
        let key = format!("k{index}");
        let mut put = vec![0x0a, u8::try_from(key.len()).unwrap()];
        put.extend(key.as_bytes());
        put.extend([0x12, 0xd8, 0x04]);
        put.extend([b'v'; 600]);
        let mut data = vec![0x22];
        let len = put.len();
        data.extend([
            u8::try_from(len & 0x7f).unwrap() | 0x80,
            u8::try_from(len >> 7).unwrap(),
        ]);
        data.extend(put);
        let entry = Entry {
            r#type: 0,
            term: 1,
            index,
            data: Some(data.into()),
        };
        let state = HardState {
            term: 1,
            vote: 1,
            commit: index,
        };
        log.save(Some(&state), &[entry], true).unwrap();
    }
    log
}

#[test]
fn a_live_member_s_log_is_read_while_it_is_held() {
    let scratch = tempfile::tempdir().unwrap();
    let mut log = live_log(scratch.path());
    let text = stdout(&dump(&[], scratch.path()));
    assert!(
        text.contains("nodeID=1 clusterID=2 term=1 commitIndex=10 vote=1"),
        "{text}"
    );
    assert!(text.contains("WAL entries: 10\nlastIndex=10\n"), "{text}");
    assert!(dump(&["--verify"], scratch.path()).status.success());
    // And the member goes on.
    let entry = Entry {
        r#type: 0,
        term: 1,
        index: 11,
        data: None,
    };
    log.save(None, &[entry], true).unwrap();
    assert!(stdout(&dump(&[], scratch.path())).contains("WAL entries: 11\n"));
}

#[test]
fn ranges_and_filters_choose_entries() {
    let scratch = tempfile::tempdir().unwrap();
    let mut log = live_log(scratch.path());
    let indexes = |args: &[&str]| -> Vec<u64> {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = dump(&all, scratch.path());
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = stdout(&output);
        let objects = lines
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        objects.filter_map(|o| o["index"].as_u64()).collect()
    };
    assert_eq!(indexes(&["--start-index", "8"]), [8, 9, 10]);
    assert_eq!(indexes(&["--start-index", "3", "--end-index", "5"]), [3, 4]);
    assert_eq!(indexes(&["--key-prefix", "k1"]), [1, 10]);
    assert_eq!(
        indexes(&["--request-type", "put,txn", "--end-index", "3"]),
        [1, 2]
    );
    assert!(indexes(&["--request-type", "txn"]).is_empty());
    assert!(indexes(&["--entry-type", "ConfigChange"]).is_empty());

    let members = ConfState {
        voters: vec![1],
        ..ConfState::default()
    };
    log.save_snapshot(&Snapshot {
        index: 7,
        term: 1,
        conf_state: Some(members),
    })
    .unwrap();
    assert_eq!(
        indexes(&[]),
        [8, 9, 10],
        "by default what a start would replay"
    );
    assert!(
        !dump(&["--entry-type", "put"], scratch.path())
            .status
            .success()
    );
}

#[test]
fn statistics_add_up() {
    let scratch = tempfile::tempdir().unwrap();
    let _log = live_log(scratch.path());
    let output = stdout(&dump(&["--stat", "--json"], scratch.path()));
    let lines: Vec<serde_json::Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| {
        lines
            .iter()
            .filter(|line| line["kind"] == kind)
            .collect::<Vec<_>>()
    };
    let [puts] = of("request")[..] else {
        panic!("{output}");
    };
    assert_eq!(
        (&puts["type"], &puts["entries"]),
        (&"put".into(), &10.into())
    );
    assert_eq!(puts["largest_index"], 1, "the first of the largest");
    let segments = of("segment");
    let entries: u64 = segments
        .iter()
        .map(|s| s["entries"].as_u64().unwrap())
        .sum();
    assert_eq!((segments.len(), entries), (2, 10), "{output}");
    assert!(stdout(&dump(&["--stat"], scratch.path())).contains("put "));
}

#[test]
fn a_damaged_byte_is_told_with_its_place() {
    let scratch = tempfile::tempdir().unwrap();
    live_log(scratch.path()).close().unwrap();
    let segment = scratch
        .path()
        .join("member/wal/0000000000000000-0000000000000000.wal");
    let file = RealFs::shared()
        .open(&segment, OpenOptions::read_write())
        .unwrap();
    file.write_all_at(b"?", 1000).unwrap();
    for args in [&["--verify"][..], &["--raw"], &["--stat"], &["--json"], &[]] {
        let output = dump(args, scratch.path());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let errors = stderr(&output);
        assert!(
            errors.contains("0000000000000000.wal:728 "),
            "{args:?}: {errors}"
        );
        assert!(!output.stdout.is_empty(), "{args:?}: what is good is shown");
    }
    assert!(!dump(&[], Path::new("/nonexistent")).status.success());
}

#[test]
fn a_stream_decoder_gets_hex_and_its_answers_are_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let _log = live_log(scratch.path());
    let output = dump(&["--stream-decoder", "sed -u s/^22/OK|/"], scratch.path());
    let text = stdout(&output);
    assert!(
        text.contains("\ttype\tdata\tdecoder_status\tdecoded_data\n"),
        "{text}"
    );
    assert!(text.contains("\tOK\tdf040a026b3112d8047676"), "{text}");
    let output = dump(
        &["--stream-decoder", "sed -u s/^22/no-bar/"],
        scratch.path(),
    );
    assert!(
        stdout(&output)
            .contains("\tdecoder output format is not right, print output anyway\tno-bar")
    );
    assert!(
        !dump(&["--stream-decoder", "true"], scratch.path())
            .status
            .success()
    );
    assert!(
        !dump(&["--stream-decoder", "/nonexistent"], scratch.path())
            .status
            .success()
    );
}
