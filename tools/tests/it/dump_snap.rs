//! `etcd-dump-snap`, as a program.
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;
use varve_proto::raftpb::{ConfState, Snapshot, SnapshotMetadata};
use varve_snap::Snapshotter;
use varve_vfs::{OpenOptions, RealFs};

use crate::archive::members;
use crate::tool::{Run, run, state_of};

fn dump(args: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etcd-dump-snap"))
        .args(args)
        .arg(path)
        .output()
        .unwrap()
}

fn json(path: &Path, args: &[&str]) -> Vec<Json> {
    let mut all = vec!["--json"];
    all.extend(args);
    let output = dump(&all, path);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_snapshot_of_every_archive_is_sound_and_names_its_members() {
    let mut seen = 0;
    members("", |name, dir| {
        for object in json(dir, &[]) {
            seen += 1;
            assert_eq!(object["ok"], true, "{name}: {object}");
            let voters = object["conf_state"]["voters"].as_array().unwrap().len();
            let learners = object["conf_state"]["learners"]
                .as_array()
                .map_or(0, Vec::len);
            let listed = object["members"].as_array().unwrap();
            assert_eq!(listed.len(), voters + learners, "{name}: {object}");
            assert!(
                listed
                    .iter()
                    .all(|m| !m["peer_urls"].as_array().unwrap().is_empty())
            );
        }
        assert!(dump(&["-verify"], dir).status.success(), "{name}");
    });
    assert!(seen == 0 || seen >= 57, "{seen}");
}

#[test]
fn the_v2_store_is_shown_on_demand_with_its_times() {
    members("v2store-", |_, dir| {
        let text = String::from_utf8(dump(&["--v2-store"], dir).stdout).unwrap();
        assert!(text.contains("  /1/"), "{text}");
        assert!(text.contains(" (expires 20"), "{text}");
        assert!(text.contains("  log       knows it"), "{text}");
        let without = String::from_utf8(dump(&[], dir).stdout).unwrap();
        assert!(!without.contains("  /1/"), "{without}");
        let newest = json(dir, &["--v2-store"]).pop().unwrap();
        assert!(newest["v2_store"].as_array().unwrap().len() > 5);
    });
}

fn directory() -> (tempfile::TempDir, Snapshotter) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("member/snap");
    std::fs::create_dir_all(&dir).unwrap();
    let snapshotter = Snapshotter::new(RealFs::shared(), dir);
    (scratch, snapshotter)
}

fn snapshot(index: u64) -> Snapshot {
    let conf_state = ConfState {
        voters: vec![0xab],
        learners: vec![0xcd],
        ..ConfState::default()
    };
    Snapshot {
        data: None,
        metadata: SnapshotMetadata {
            conf_state,
            index,
            term: 3,
        },
    }
}

#[test]
fn a_broken_snapshot_is_told_and_left_where_it_is() {
    let (scratch, snapshotter) = directory();
    snapshotter.save(&snapshot(7)).unwrap();
    let path = snapshotter.save(&snapshot(8)).unwrap();
    let file = RealFs::shared()
        .open(&path, OpenOptions::read_write())
        .unwrap();
    file.write_all_at(b"?", 12).unwrap();

    let output = dump(&[], scratch.path());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("index 7, term 3"),
        "the sound one is shown: {text}"
    );
    assert!(
        text.contains("  voters    ab\n  learners  cd\n  data      none\n"),
        "{text}"
    );
    assert!(text.contains(" BAD\n"), "{text}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("0000000000000003-0000000000000008.snap"),
        "{errors}"
    );
    assert_eq!(dump(&["--verify"], &path).status.code(), Some(1));
    let verdicts: Vec<_> = json(scratch.path(), &[])
        .iter()
        .map(|o| o["ok"].clone())
        .collect();
    assert_eq!(verdicts, [Json::Bool(true), Json::Bool(false)]);
    assert!(path.exists(), "a start would rename it, a look does not");
}

#[test]
fn every_kind_of_damage_is_told_with_file_and_cause_and_changes_nothing() {
    type Change = fn(&mut Vec<u8>);
    // Of the file: the checksum's tag and five bytes, the data's tag, its length, the data.
    let cases: [(Change, &str); 7] = [
        (|bytes| bytes[2] ^= 1, "checksum of the data"),
        (|bytes| bytes[7] ^= 4, "(at offset "),
        (
            |bytes| *bytes.last_mut().unwrap() ^= 0x40,
            "checksum of the data",
        ),
        (|bytes| bytes.truncate(bytes.len() / 2), "(at offset "),
        (Vec::clear, " is no snapshot: "),
        (
            |bytes| *bytes = b"#!/bin/sh\nexit\n".repeat(9),
            "(at offset ",
        ),
        (|bytes| bytes.fill(0), "(at offset "),
    ];
    for (change, cause) in cases {
        let (scratch, snapshotter) = directory();
        snapshotter.save(&snapshot(7)).unwrap();
        let path = snapshotter.save(&snapshot(8)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let before = state_of(scratch.path());
        for args in [&["--verify"][..], &["--json"], &["--v2-store"], &[]] {
            let Run { code, out, err } = run("etcd-dump-snap", args, scratch.path());
            assert_eq!(code, Some(1), "{cause} {args:?}");
            assert!(err.contains(&*path.to_string_lossy()), "{cause}: {err}");
            assert!(
                err.contains(cause) && err.contains(" (at offset "),
                "{cause}: {err}"
            );
            let good = path.with_file_name("0000000000000003-0000000000000007.snap");
            assert!(
                out.contains(&*good.to_string_lossy()),
                "the sound one is shown: {out}"
            );
        }
        assert_eq!(state_of(scratch.path()), before);
    }
    // Under another's name.
    let (scratch, snapshotter) = directory();
    let path = snapshotter.save(&snapshot(7)).unwrap();
    let wrong = path.with_file_name("0000000000000003-0000000000000009.snap");
    std::fs::rename(&path, &wrong).unwrap();
    let Run { code, err, .. } = run("etcd-dump-snap", &[], scratch.path());
    assert_eq!(code, Some(1));
    assert!(err.contains(&*wrong.to_string_lossy()), "{err}");
    assert!(
        err.contains("the name is that of another snapshot"),
        "{err}"
    );
}

#[test]
fn received_databases_are_summed_up() {
    let (scratch, snapshotter) = directory();
    members("basic-3.6", |_, dir| {
        let received = snapshotter.db_path(9);
        std::fs::copy(dir.join("member/snap/db"), &received).unwrap();
        let object = json(scratch.path(), &[]).pop().unwrap();
        assert_eq!(
            (&object["kind"], &object["page_bytes"]),
            (&"database".into(), &4096.into())
        );
        assert_eq!(object["ok"], true, "{object}");
        assert!(object["pages"].as_u64().unwrap() > 4);
        assert_eq!(object["consistent_index"], 29);
        let revisions = [&object["first_revision"], &object["last_revision"]];
        assert_eq!(revisions, [&Json::from(2), &Json::from(21)]);
        let buckets = object["buckets"].as_array().unwrap();
        let key = buckets
            .iter()
            .find(|bucket| bucket["name"] == "key")
            .unwrap();
        assert_eq!((buckets.len(), &key["keys"]), (10, &Json::from(24)));
        let text = String::from_utf8(dump(&[], scratch.path()).stdout).unwrap();
        assert!(text.contains("  applied     index 29, term 2\n"), "{text}");
        assert!(
            text.contains("  revisions   2 to 21, 6 tombstones\n"),
            "{text}"
        );
        std::fs::write(&received, b"no database").unwrap();
        assert_eq!(dump(&[], scratch.path()).status.code(), Some(1));
    });
}

#[test]
fn a_path_that_leads_nowhere_is_an_error_and_an_empty_directory_is_none() {
    let (scratch, _) = directory();
    assert!(dump(&[], scratch.path()).status.success());
    assert!(!dump(&[], &scratch.path().join("nowhere")).status.success());
    std::fs::write(scratch.path().join("other"), b"x").unwrap();
    assert!(!dump(&[], &scratch.path().join("other")).status.success());
}
