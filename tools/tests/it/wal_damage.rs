//! Every kind of damage to a log is told with its file, its offset and its cause, and left as it is.
use std::path::{Path, PathBuf};

use varve_proto::raftpb::{Entry, HardState};
use varve_vfs::RealFs;
use varve_wal::{Wal, WalOptions};

use crate::tool::{Run, run, state_of};

const SEGMENT_BYTES: u64 = 4096;
const ENTRIES: u64 = 24;

/// A closed log of one member: three full segments and a bit, entries of 600 bytes.
struct Damaged {
    scratch: tempfile::TempDir,
}

impl Damaged {
    fn new() -> Self {
        let entry = |index| Entry {
            r#type: 0,
            term: 1,
            index,
            data: Some(request(index).into()),
        };
        Self::of((1..=ENTRIES).map(entry))
    }

    fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let options = WalOptions {
            segment_size_bytes: SEGMENT_BYTES,
            ..WalOptions::default()
        };
        let dir = scratch.path().join("member/wal");
        let mut log = Wal::create(&RealFs::shared(), &dir, &[8, 1, 16, 2], options).unwrap();
        for entry in entries {
            let state = HardState {
                term: entry.term,
                vote: 1,
                commit: entry.index,
            };
            log.save(Some(&state), &[entry], true).unwrap();
        }
        log.close().unwrap();
        // Beside the segments only what a pipeline had prepared.
        for name in std::fs::read_dir(&dir).unwrap() {
            let path = name.unwrap().path();
            if path.extension().is_some_and(|e| e == "tmp") {
                std::fs::remove_file(path).unwrap();
            }
        }
        Self { scratch }
    }

    fn segments(&self) -> Vec<PathBuf> {
        let dir = std::fs::read_dir(self.scratch.path().join("member/wal")).unwrap();
        let mut paths: Vec<_> = dir.map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// Where the n-th record of a segment begins.
    fn record(&self, segment: &Path, n: usize) -> usize {
        let Run { out, .. } = run("etcd-dump-wal", &["--raw", "--json"], self.scratch.path());
        let name = segment.file_name().unwrap().to_str().unwrap();
        let records = out
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        let offsets = records.filter(|r| r["segment"] == name);
        let offset = offsets
            .skip(n)
            .map(|r| r["offset"].as_u64().unwrap())
            .next();
        usize::try_from(offset.unwrap()).unwrap()
    }

    /// All ways to look at it fail alike: file, offset and cause on standard error, and what is good before.
    fn check(&self, file: &Path, offset: Option<usize>, cause: &str, good_entries: u64) {
        let before = state_of(self.scratch.path());
        let place = match offset {
            Some(offset) => format!("{}:{offset} ", file.display()),
            None => file.display().to_string(),
        };
        let at = offset
            .map(|offset| format!("offset {offset}:"))
            .unwrap_or(place.clone());
        for args in [&["--verify"][..], &["--raw"], &["--stat"], &["--json"], &[]] {
            let Run { code, out, err } = run("etcd-dump-wal", args, self.scratch.path());
            assert_eq!(code, Some(1), "{args:?} {cause}: {err}");
            assert!(
                err.contains(cause),
                "{args:?}: {err:?} names the cause {cause}"
            );
            let told = err.contains(&place)
                || err.contains(&format!("{}:{}:", file.display(), offset.unwrap_or(0)))
                || (err.contains(&*file.to_string_lossy()) && err.contains(&at));
            assert!(told, "{args:?}: {err:?} names {place}");
            match args {
                ["--verify"] => assert!(out.starts_with("DAMAGED: "), "{out}"),
                ["--raw"] => {
                    let entries = out.lines().filter(|l| l.starts_with("Entry: ")).count();
                    assert_eq!(entries as u64, good_entries, "{cause}");
                }
                ["--stat"] => {
                    let range = match good_entries {
                        0 => "entries none".to_owned(),
                        n => format!("entries 1 to {n};"),
                    };
                    assert!(out.contains(&range), "{cause}: {out}");
                }
                ["--json"] => assert_eq!(out.lines().count() as u64, good_entries + 1, "{cause}"),
                _ => assert!(
                    out.contains(&format!("WAL entries: {good_entries}\n")),
                    "{out}"
                ),
            }
        }
        assert_eq!(state_of(self.scratch.path()), before, "{cause}");
    }
}

/// `put { key: "k<index>", value: 600 times "v" }` in an `InternalRaftRequest`.
fn request(index: u64) -> Vec<u8> {
    use prost::Message as _;
    use varve_proto::etcdserverpb::{InternalRaftRequest, PutRequest};
    let put = PutRequest {
        key: format!("k{index}").into(),
        value: vec![b'v'; 600].into(),
        ..PutRequest::default()
    };
    let request = InternalRaftRequest {
        put: Some(put),
        ..InternalRaftRequest::default()
    };
    request.encode_to_vec()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// The second segment, and where its fifth record begins: its head is a checksum, the metadata and the state.
fn second_segment(log: &Damaged) -> (PathBuf, usize, u64) {
    let segments = log.segments();
    assert!(segments.len() >= 4, "{segments:?}");
    let name = segments[1].file_stem().unwrap().to_str().unwrap();
    let first = u64::from_str_radix(name.split_once('-').unwrap().1, 16).unwrap();
    // An entry, its state, and the next entry.
    let at = log.record(&segments[1], 5);
    (segments[1].clone(), at, first)
}

#[test]
fn a_flipped_bit_is_found_in_every_part_of_a_record() {
    // Of the record at `at`: length field 0 to 8, type 8 to 10, checksum 10 to 16, data from there.
    for (byte, bit, cause) in [
        (0, 0x08, "is malformed: "),
        (1, 0x01, "is malformed: "),
        (6, 0x40, "is malformed: "),
        (7, 0x20, "is malformed: "),
        (9, 0x04, "unknown type 6"),
        (11, 0x01, "checksum of the record"),
        (40, 0x10, "checksum of the record"),
        (300, 0x80, "checksum of the record"),
    ] {
        let log = Damaged::new();
        let (segment, at, first) = second_segment(&log);
        change(&segment, |bytes| bytes[at + byte] ^= bit);
        log.check(&segment, Some(at), cause, first);
    }
}

#[test]
fn a_record_of_another_type_is_found() {
    let log = Damaged::new();
    let (segment, at, first) = second_segment(&log);
    change(&segment, |bytes| {
        assert_eq!(bytes[at + 8..at + 10], [0x08, 2], "an entry");
        bytes[at + 9] = 1;
    });
    log.check(&segment, Some(at), "type out of place", first);
}

#[test]
fn a_truncated_segment_is_found() {
    let log = Damaged::new();
    let (segment, at, first) = second_segment(&log);
    change(&segment, |bytes| bytes.truncate(at + 100));
    log.check(&segment, Some(at), "ends inside the record", first);
}

#[test]
fn a_missing_segment_is_found() {
    let log = Damaged::new();
    let segments = log.segments();
    let (_, _, first) = second_segment(&log);
    std::fs::remove_file(&segments[1]).unwrap();
    let next = segments[2].file_name().unwrap().to_str().unwrap();
    let cause = format!("is followed by {next}: what stood between is missing");
    log.check(&segments[0], None, &cause, first - 1);
}

#[test]
fn a_missing_first_segment_is_found() {
    let log = Damaged::new();
    let segments = log.segments();
    std::fs::remove_file(&segments[0]).unwrap();
    let verdict = run("etcd-dump-wal", &["--verify"], log.scratch.path());
    assert_eq!(verdict.code, Some(1));
    let cause = format!("no segment stands before {}", segments[1].display());
    assert!(verdict.err.contains(&cause), "{}", verdict.err);
    let listing = run("etcd-dump-wal", &[], log.scratch.path());
    assert_eq!(listing.code, Some(1));
    assert!(listing.err.contains(&cause), "{}", listing.err);
    assert!(
        listing.out.contains(&format!("lastIndex={ENTRIES}\n")),
        "{}",
        listing.out
    );
}

#[test]
fn swapped_segments_are_found() {
    let log = Damaged::new();
    let segments = log.segments();
    let (_, _, first) = second_segment(&log);
    let other = log.scratch.path().join("other");
    std::fs::rename(&segments[1], &other).unwrap();
    std::fs::rename(&segments[2], &segments[1]).unwrap();
    std::fs::rename(&other, &segments[2]).unwrap();
    log.check(&segments[1], Some(0), "checksum of the record", first - 1);
}

#[test]
fn a_segment_with_another_index_in_its_name_is_found() {
    let log = Damaged::new();
    let segments = log.segments();
    let wrong = segments[1].with_file_name("0000000000000001-0000000000000fff.wal");
    std::fs::rename(&segments[1], &wrong).unwrap();
    let Run { code, err, .. } = run("etcd-dump-wal", &["--verify"], log.scratch.path());
    assert_eq!(code, Some(1));
    let place = format!(
        "record at {}:0: the segment is named for index 4095",
        wrong.display()
    );
    assert!(err.contains(&place), "{err}");
    // What is in it is good, and is shown.
    let listing = run("etcd-dump-wal", &["--raw"], log.scratch.path());
    assert_eq!(listing.code, Some(0));
}

#[test]
fn a_file_that_is_no_segment_by_its_name_is_found() {
    let log = Damaged::new();
    let segments = log.segments();
    let (_, _, first) = second_segment(&log);
    let stranger = segments[1].with_file_name("segment-1.wal");
    std::fs::rename(&segments[1], &stranger).unwrap();
    log.check(
        &segments[0],
        None,
        "what stood between is missing",
        first - 1,
    );
    let Run { err, .. } = run("etcd-dump-wal", &[], log.scratch.path());
    assert!(
        err.contains("segment-1.wal is not the name of a segment"),
        "{err}"
    );
}

#[test]
fn an_empty_segment_is_found_wherever_it_stands() {
    let log = Damaged::new();
    let (segment, _, first) = second_segment(&log);
    change(&segment, Vec::clear);
    log.check(&segment, None, "holds no record at offset 0", first - 1);
    // As is one that is all zeros, and the last one.
    change(&segment, |bytes| bytes.resize(4096, 0));
    log.check(&segment, None, "holds no record at offset 0", first - 1);
    let log = Damaged::new();
    let last = log.segments().pop().unwrap();
    let entries = {
        let name = last.file_stem().unwrap().to_str().unwrap();
        u64::from_str_radix(name.split_once('-').unwrap().1, 16).unwrap() - 1
    };
    change(&last, Vec::clear);
    log.check(&last, None, "holds no record at offset 0", entries);
}

#[test]
fn a_foreign_file_is_found_wherever_it_stands() {
    let text = b"#!/bin/sh\necho this is no write-ahead log\n".repeat(50);
    for last in [false, true] {
        let log = Damaged::new();
        let segments = log.segments();
        let segment = if last {
            segments.last().unwrap()
        } else {
            &segments[1]
        };
        let name = segment.file_stem().unwrap().to_str().unwrap();
        let first = u64::from_str_radix(name.split_once('-').unwrap().1, 16).unwrap();
        change(segment, |bytes| bytes.clone_from(&text));
        log.check(segment, Some(0), "", first - 1);
    }
}

#[test]
fn a_torn_tail_is_told_but_only_verify_fails() {
    let log = Damaged::new();
    let last = log.segments().pop().unwrap();
    let at = log.record(&last, 3);
    change(&last, |bytes| bytes.truncate(at + 20));
    let before = state_of(log.scratch.path());
    for args in [&["--raw"][..], &["--stat"], &["--json"], &[]] {
        let Run { code, err, .. } = run("etcd-dump-wal", args, log.scratch.path());
        assert_eq!(code, Some(0), "{args:?}: {err}");
        assert!(
            err.starts_with("note: the log ends in an unfinished record: "),
            "{err}"
        );
        assert!(err.contains(&format!("at offset {at}: ")), "{err}");
    }
    let Run { code, err, .. } = run("etcd-dump-wal", &["--verify"], log.scratch.path());
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!(
        "{} ends inside the record at offset {at}: ",
        last.display()
    )));
    assert_eq!(state_of(log.scratch.path()), before);
}

#[test]
fn entries_out_of_order_are_found_by_index_and_term() {
    let entry = |index, term| Entry {
        r#type: 0,
        term,
        index,
        data: None,
    };
    for (entries, cause) in [
        (
            vec![entry(1, 1), entry(2, 3), entry(3, 2)],
            "entry 3 has term 2 after term 3",
        ),
        (
            vec![entry(1, 1), entry(2, 1), entry(4, 1)],
            "entry 4 follows entry 2",
        ),
        (vec![entry(5, 1), entry(4, 1)], "entry 4 goes back before 5"),
    ] {
        let log = Damaged::of(entries.into_iter());
        let Run { code, err, .. } = run("etcd-dump-wal", &["--verify"], log.scratch.path());
        assert_eq!(code, Some(1), "{cause}: {err}");
        assert!(err.contains(cause), "{err}");
        assert!(err.contains("error: record at /"), "{err}");
    }
}

#[test]
fn a_member_that_can_start_after_a_gap_has_no_damage() {
    let log = Damaged::new();
    let segments = log.segments();
    // A snapshot makes the first two segments needless; of their removal only the second was kept.
    let options = WalOptions::default();
    let dir = log.scratch.path().join("member/wal");
    let start = varve_proto::walpb::Snapshot::default();
    let reader = Wal::open(&RealFs::shared(), &dir, &start, options).unwrap();
    let (_, mut appender) = reader.read_all().unwrap();
    appender
        .save_snapshot(&varve_proto::walpb::Snapshot {
            index: ENTRIES,
            term: 1,
            conf_state: Some(varve_proto::raftpb::ConfState {
                voters: vec![1],
                ..Default::default()
            }),
        })
        .unwrap();
    appender.close().unwrap();
    std::fs::remove_file(&segments[1]).unwrap();
    for args in [&["--verify"][..], &[]] {
        let Run { code, err, .. } = run("etcd-dump-wal", args, log.scratch.path());
        assert_eq!(code, Some(0), "{err}");
        let name = segments[2].display();
        assert!(
            err.contains(&format!("note: what stands before {name} is left over")),
            "{err}"
        );
    }
}
