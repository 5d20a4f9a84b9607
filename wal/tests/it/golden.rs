//! Logs that etcd 3.4 to 3.8 wrote.
use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::{self, Snapshot};
use varve_vfs::{Fs, SimFs};
use varve_wal::{Appender, Error, Record, RecordKind, SegmentName, Wal, WalOptions};

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

/// Saves `records` as their member did: entries and the hard state after them at once, unless the
/// segment was full before the state came.
fn save_again(ours: &mut Appender, records: &[Record]) {
    let mut batch = Vec::new();
    for (number, record) in records.iter().enumerate() {
        if number > 0 && records[number - 1].segment != record.segment {
            ours.save(None, &batch, false).unwrap();
            batch.clear();
        }
        match record.kind {
            RecordKind::Entry => batch.push(Entry::decode(record.data.clone()).unwrap()),
            RecordKind::State if record.offset < HEAD_BYTES => {
                // A cut wrote it again at the head of the segment; ours does so too.
            }
            RecordKind::State => {
                let state = HardState::decode(record.data.clone()).unwrap();
                ours.save(Some(&state), &batch, false).unwrap();
                batch.clear();
            }
            RecordKind::Snapshot => {
                ours.save(None, &batch, false).unwrap();
                batch.clear();
                let snapshot = Snapshot::decode(record.data.clone()).unwrap();
                // 3.4 knows no conf state; ours insists on one, as 3.5 does.
                if snapshot.conf_state.is_none() && snapshot.index > 0 {
                    return;
                }
                ours.save_snapshot(&snapshot).unwrap();
            }
            RecordKind::Metadata | RecordKind::Crc => {}
        }
    }
    ours.save(None, &batch, false).unwrap();
}

/// More than the checksum and the metadata take, less than those and the state.
const HEAD_BYTES: u64 = 64;

#[test]
fn saving_what_a_log_of_etcd_holds_writes_the_same_bytes() {
    let mut segments = 0;
    for archive in sound().filter(|a| {
        ["-3.4.", "-3.5.", "-3.6."]
            .iter()
            .any(|v| a.name.contains(v))
    }) {
        for dir in &archive.wal_dirs {
            let all = records(&archive.disk, dir);
            let disk = SimFs::new();
            let options = WalOptions {
                inline_pipeline: true,
                ..WalOptions::default()
            };
            let mut ours = Wal::create(&disk.shared(), dir, &all[1].data, options).unwrap();
            save_again(&mut ours, &all[3..]);
            let end = usize::try_from(ours.segment_bytes()).unwrap();
            assert!(end > 80, "{}", archive.name);
            let names = disk.read_dir(dir).unwrap();
            let names: Vec<_> = names
                .iter()
                .filter_map(|name| SegmentName::parse(name))
                .collect();
            for (number, name) in names.iter().enumerate() {
                let path = name.path_in(dir);
                let (theirs, ours) = (archive.disk.read(&path), disk.read(&path).unwrap());
                let (theirs, len) = (theirs.unwrap(), ours.len());
                // The newest ends in reserved space; theirs goes on where we stopped.
                let len = if number + 1 == names.len() { end } else { len };
                let place = format!("{} {}", archive.name, path.display());
                assert!(theirs[..len] == ours[..len], "{place}");
                segments += 1;
            }
        }
    }
    println!("{segments} segments");
}

/// The column `raftIndex at stop` of the manifest, by name of the archive.
fn raft_indexes() -> BTreeMap<String, u64> {
    let Some(dir) = std::env::var_os("VARVE_GOLDEN") else {
        return BTreeMap::new();
    };
    let text = std::fs::read_to_string(Path::new(&dir).join("manifest.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let index = cells.get(8)?.split(' ').next()?.parse().ok()?;
        Some((cells[1].to_owned(), index))
    });
    rows.collect()
}

#[test]
fn a_log_ends_where_the_manifest_says_its_member_stopped() {
    let expected = raft_indexes();
    let mut checked = 0;
    for archive in sound() {
        // Of these the answers were taken in another way, or the first log is that of a restore.
        let other = ["auth-", "snapsave-"]
            .iter()
            .any(|p| archive.name.starts_with(p));
        let Some(index) = expected.get(&archive.name).filter(|_| !other) else {
            continue;
        };
        let dir = &archive.wal_dirs[0];
        let fs = archive.disk.shared();
        let start = Wal::valid_snapshot_entries(&fs, dir)
            .unwrap()
            .pop()
            .unwrap();
        let log = Wal::open_read_only(&fs, dir, &start).unwrap();
        let replay = log.read_all().unwrap();
        let last = replay.entries.last().map_or(start.index, |e| e.index);
        // The index was asked for before one last request, an alarm list, went through the log.
        let after = match archive.name.split('-').next() {
            Some("promote") => 0,
            Some("v2store") => 2,
            _ => 1,
        };
        assert_eq!(last, index + after, "{}", archive.name);
        let behind = ["kill9-3.6.14", "kill9-3.8.0-alpha.0"].contains(&archive.name.as_str());
        let commit = replay.hard_state.unwrap().commit;
        assert_eq!(commit, last - u64::from(behind), "{}", archive.name);
        checked += 1;
    }
    assert!(expected.is_empty() || checked >= 35, "{checked}");
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
