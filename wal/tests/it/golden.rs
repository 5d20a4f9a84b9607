//! Logs that etcd 3.4 to 3.8 wrote.
use std::path::Path;

use prost::Message as _;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::{self, Snapshot};
use varve_vfs::{Fs, SimFs};
use varve_wal::{Error, Record, RecordKind, Wal, WalOptions};

use crate::archive::{Archive, archives};

/// Archives whose log is sound.
fn sound() -> impl Iterator<Item = Archive> {
    archives("").filter(|archive| !archive.name.starts_with("torn-"))
}

fn records(disk: &SimFs, dir: &Path) -> Vec<Record> {
    let log = Wal::open_read_only(&disk.shared(), dir, &Snapshot::default()).unwrap();
    log.records()
        .unwrap()
        .map(|record| record.unwrap())
        .collect()
}

/// The frame of a record as a plain encoder writes it.
fn frame(record: &Record, data: &[u8]) -> Vec<u8> {
    let has_data = record.kind != RecordKind::Crc;
    let body = walpb::Record {
        r#type: record.kind.number().into(),
        crc: record.crc,
        data: has_data.then(|| data.to_vec().into()),
    }
    .encode_to_vec();
    let pad = body.len().wrapping_neg() % 8;
    let flag = if pad == 0 { 0 } else { 0x80 | pad as u64 };
    let mut frame = (body.len() as u64 | flag << 56).to_le_bytes().to_vec();
    frame.extend(body);
    frame.resize(frame.len() + pad, 0);
    frame
}

#[test]
fn every_record_of_every_archive_encodes_to_the_bytes_it_was_read_from() {
    let mut count = 0;
    for archive in sound() {
        // 3.7 leaves zero fields of an entry out; its records are compared with the data as it is.
        let gogo = ["-3.4.", "-3.5.", "-3.6."]
            .iter()
            .any(|v| archive.name.contains(v));
        for dir in &archive.wal_dirs {
            let mut segment = (Path::new("").into(), Vec::new());
            for record in records(&archive.disk, dir) {
                if segment.0 != record.segment {
                    segment = (
                        record.segment.clone(),
                        archive.disk.read(&record.segment).unwrap(),
                    );
                }
                let data = match record.kind {
                    RecordKind::Entry if gogo => {
                        Entry::decode(record.data.clone()).unwrap().encode_to_vec()
                    }
                    RecordKind::State => HardState::decode(record.data.clone())
                        .unwrap()
                        .encode_to_vec(),
                    RecordKind::Snapshot if gogo => Snapshot::decode(record.data.clone())
                        .unwrap()
                        .encode_to_vec(),
                    _ => record.data.to_vec(),
                };
                let at = usize::try_from(record.offset).unwrap();
                let len = usize::try_from(record.frame_bytes).unwrap();
                assert_eq!(
                    segment.1[at..at + len],
                    frame(&record, &data),
                    "{}",
                    archive.name
                );
                count += 1;
            }
        }
    }
    println!("{count} records");
}

#[test]
fn saving_what_a_log_of_etcd_holds_writes_the_same_bytes() {
    // Only first segments: a cut puts the state at the head of the next by other rules than ours.
    for archive in sound().filter(|a| {
        ["-3.4.", "-3.5.", "-3.6."]
            .iter()
            .any(|v| a.name.contains(v))
    }) {
        for dir in &archive.wal_dirs {
            let all = records(&archive.disk, dir);
            let first = &all[0].segment;
            let records: Vec<_> = all.iter().filter(|r| r.segment == *first).collect();
            let disk = SimFs::new();
            let options = WalOptions {
                segment_size_bytes: 128 << 20,
                inline_pipeline: true,
                ..WalOptions::default()
            };
            let mut ours = Wal::create(&disk.shared(), dir, &records[1].data, options).unwrap();
            for record in &records[3..] {
                match record.kind {
                    RecordKind::Entry => {
                        let entry = Entry::decode(record.data.clone()).unwrap();
                        ours.save(None, &[entry], false).unwrap();
                    }
                    RecordKind::State => {
                        let state = HardState::decode(record.data.clone()).unwrap();
                        ours.save(Some(&state), &[], false).unwrap();
                    }
                    RecordKind::Snapshot => {
                        let snapshot = Snapshot::decode(record.data.clone()).unwrap();
                        // 3.4 knows no conf state; ours insists on one, as 3.5 does.
                        if snapshot.conf_state.is_none() && snapshot.index > 0 {
                            break;
                        }
                        ours.save_snapshot(&snapshot).unwrap();
                    }
                    RecordKind::Metadata | RecordKind::Crc => panic!("{}", archive.name),
                }
            }
            let len = usize::try_from(ours.segment_bytes()).unwrap();
            assert!(len > 80, "{}", archive.name);
            let (theirs, ours) = (archive.disk.read(first).unwrap(), disk.read(first).unwrap());
            assert_eq!(
                theirs[..len],
                ours[..len],
                "{} {}",
                archive.name,
                dir.display()
            );
        }
    }
}

#[test]
fn a_log_of_etcd_opens_continues_and_opens_again() {
    for archive in sound() {
        for dir in &archive.wal_dirs {
            let fs = archive.disk.shared();
            // m3 of snapxfer was sent a snapshot: its log has a hole before it.
            let start = Wal::valid_snapshot_entries(&fs, dir)
                .unwrap()
                .pop()
                .unwrap();
            let verified = Wal::verify(&fs, dir, &start).unwrap();
            let seen = Wal::open_read_only(&fs, dir, &start)
                .unwrap()
                .read_all()
                .unwrap();
            let options = WalOptions {
                inline_pipeline: true,
                ..WalOptions::default()
            };
            let reader = Wal::open(&fs, dir, &start, options).unwrap();
            let (replay, mut appender) = reader.read_all().unwrap();
            assert!(replay.snapshot_matched, "{}", archive.name);
            assert_eq!(replay.hard_state, Some(verified), "{}", archive.name);
            assert_eq!(seen, replay, "{}", archive.name);
            let next = Entry {
                r#type: 0,
                term: verified.term + 1,
                index: appender.last_index() + 1,
                data: Some((&b"ours"[..]).into()),
            };
            appender
                .save(None, std::slice::from_ref(&next), true)
                .unwrap();
            appender.close().unwrap();
            let (again, _) = Wal::open(&fs, dir, &start, options)
                .unwrap()
                .read_all()
                .unwrap();
            assert_eq!(again.entries[..replay.entries.len()], replay.entries);
            assert_eq!(again.entries.last(), Some(&next));
        }
    }
}

/// What a damaged log is, in the words of etcd 3.6.14.
#[derive(Debug, PartialEq)]
enum Verdict {
    Opens,
    Repaired { log_end: u64 },
    Fatal,
}

fn verdict(archive: &Archive) -> Verdict {
    let (fs, dir) = (archive.disk.shared(), &archive.wal_dirs[0]);
    let options = WalOptions {
        inline_pipeline: true,
        ..WalOptions::default()
    };
    let open = || {
        Wal::open(&fs, dir, &Snapshot::default(), options)
            .unwrap()
            .read_all()
    };
    match open() {
        Ok(_) => Verdict::Opens,
        Err(e) if e.is_repairable() => {
            let segment = dir.join("0000000000000000-0000000000000000.wal");
            let damaged = fs.read(&segment).unwrap();
            assert!(Wal::repair(&fs, dir).unwrap(), "{}", archive.name);
            assert_eq!(
                fs.read(&segment.with_extension("wal.broken")).unwrap(),
                damaged
            );
            let log_end = fs.metadata(&segment).unwrap().len_bytes;
            open().unwrap();
            assert!(!Wal::repair(&fs, dir).unwrap(), "{}", archive.name);
            Verdict::Repaired { log_end }
        }
        Err(e) => {
            assert!(e.is_corruption(), "{}: {e}", archive.name);
            assert!(Wal::repair(&fs, dir).is_err(), "{}", archive.name);
            let names = fs.read_dir(dir).unwrap();
            assert!(
                !names.iter().any(|n| n.ends_with(".broken")),
                "{}",
                archive.name
            );
            Verdict::Fatal
        }
    }
}

#[test]
fn damaged_logs_are_repaired_or_refused_as_by_etcd_3_6() {
    let expected = |name: &str| match name {
        "A" | "B2" | "D" => Verdict::Repaired { log_end: 13088 },
        "C1" | "C2" | "C3" | "F" => Verdict::Repaired { log_end: 13120 },
        "G" => Verdict::Repaired { log_end: 1784 },
        "D2" | "E" => Verdict::Opens,
        "B1" | "H" | "I" => Verdict::Fatal,
        other => panic!("no expectation for {other}"),
    };
    let mut seen = 0;
    for archive in archives("torn-") {
        let case = archive.name.split('-').nth(1).unwrap();
        assert_eq!(verdict(&archive), expected(case), "{}", archive.name);
        seen += 1;
    }
    assert!(seen == 0 || seen == 13, "{seen} of 13 damaged logs");
}

#[test]
fn the_snapshots_a_start_may_use_are_those_below_the_commit() {
    for archive in archives("snap10-") {
        let fs = archive.disk.shared();
        let snapshots = Wal::valid_snapshot_entries(&fs, &archive.wal_dirs[0]).unwrap();
        let indexes: Vec<_> = snapshots.iter().map(|s| s.index).collect();
        assert_eq!(indexes[0], 0, "{}", archive.name);
        assert!(
            indexes.len() > 4 && indexes.is_sorted(),
            "{}: {indexes:?}",
            archive.name
        );
        let wrong = Snapshot {
            term: 9,
            ..snapshots[1].clone()
        };
        let refused = Wal::verify(&fs, &archive.wal_dirs[0], &wrong).unwrap_err();
        assert!(matches!(
            refused,
            Error::SnapshotMismatch {
                found: 2,
                expected: 9,
                ..
            }
        ));
    }
}
