//! The log against what was put in.
use super::*;
use bytes::Bytes;

fn entry(index: u64, term: u64, len: usize) -> Entry {
    Entry {
        r#type: 0,
        term,
        index,
        data: Some(Bytes::from(vec![7; len])),
    }
}

fn store(entries: &[(u64, u64)]) -> LogStore {
    let entries = entries.iter().map(|&(i, t)| entry(i, t, 10)).collect();
    LogStore::new(Snapshot::default(), HardState::default(), entries)
}

#[test]
fn appending_replaces_a_conflicting_tail() {
    let log = store(&[(1, 1), (2, 1), (3, 1)]);
    log.append(&[entry(2, 2, 10)]);
    assert_eq!(log.last_index().unwrap(), 2);
    assert_eq!(log.term(2).unwrap(), 2);
    assert_eq!(log.bytes(), 2 * entry_size(&entry(1, 1, 10)));
    assert!(matches!(log.term(3), Err(StorageError::Unavailable)));
}

/// A snapshot without data.
fn snapshot(index: u64, term: u64) -> Snapshot {
    Snapshot {
        data: None,
        metadata: SnapshotMetadata {
            index,
            term,
            ..SnapshotMetadata::default()
        },
    }
}

#[test]
fn releasing_keeps_everything_behind_the_index_and_needs_a_snapshot() {
    let log = store(&(1..=100).map(|i| (i, 1)).collect::<Vec<_>>());
    assert_eq!(log.release_to(70), 0, "nothing stands for the entries yet");
    log.set_snapshot(snapshot(80, 1));
    assert_eq!(log.release_to(70), 70);
    assert_eq!(log.first_index().unwrap(), 71);
    assert_eq!(log.term(70).unwrap(), 1);
    assert!(matches!(log.term(69), Err(StorageError::Compacted)));
    assert!(matches!(
        log.entries(70..72, u64::MAX),
        Err(StorageError::Compacted)
    ));
    assert_eq!(log.last_index().unwrap(), 100);
    assert_eq!(log.release_to(95), 80, "only what the snapshot covers");
}

#[test]
fn trimming_never_drops_what_is_not_applied() {
    let log = store(&(1..=100).map(|i| (i, 1)).collect::<Vec<_>>());
    log.trim(50, 1);
    assert_eq!(log.entries(51..101, u64::MAX).unwrap().len(), 50);
    // Without a WAL to read from, the log begins where memory does, and a snapshot stands there.
    assert_eq!(log.first_index().unwrap(), 51);
    assert_eq!(Storage::snapshot(&log).unwrap().metadata.index, 50);
    assert_eq!(Storage::snapshot(&log).unwrap().metadata.term, 1);
}

#[test]
fn what_a_start_read_is_let_go_of_when_the_log_is_trimmed() {
    let block = Bytes::from(vec![7; 1000]);
    let entries = (0..100).map(|at| Entry {
        data: Some(block.slice(10 * at..10 * at + 10)),
        ..entry(at as u64 + 1, 1, 0)
    });
    let entries: Vec<_> = entries.collect();
    let log = LogStore::new(Snapshot::default(), HardState::default(), entries.clone());
    log.trim(90, 10 * entry_size(&entries[0]));
    let left = log.entries(91..101, u64::MAX).unwrap();
    assert_eq!(left, entries[90..]);
    drop(entries);
    assert!(block.is_unique(), "a tail keeps the whole block");
}

#[test]
fn a_received_snapshot_replaces_the_log() {
    let log = store(&[(1, 1), (2, 1), (3, 2)]);
    log.restore(snapshot(10, 4));
    log.append(&[entry(11, 4, 10)]);
    assert_eq!(log.first_index().unwrap(), 11);
    assert_eq!((log.term(10).unwrap(), log.term(11).unwrap()), (4, 4));
    assert!(matches!(log.term(9), Err(StorageError::Compacted)));
    assert_eq!(log.bytes(), entry_size(&entry(11, 4, 10)));
    // One that was being saved when it arrived.
    log.set_snapshot(snapshot(2, 1));
    assert_eq!(Storage::snapshot(&log).unwrap().metadata.index, 10);
}

/// A log on disk whose entries are no longer in memory: overwritten tails, several segments.
#[test]
fn what_left_memory_is_read_back_from_the_wal() {
    let fs: DynFs = varve_vfs::SimFs::new().shared();
    let dir = std::path::Path::new("/wal");
    let options = varve_wal::WalOptions {
        segment_size_bytes: 16 << 10,
        ..varve_wal::WalOptions::default()
    };
    let mut appender = varve_wal::Wal::create(&fs, dir, b"", options).unwrap();
    let log = LogStore::default().reading_back(fs.clone(), dir.to_path_buf());
    let mut expected: Vec<Entry> = Vec::new();
    for round in 1..=20u64 {
        // Every round's leader replaces the last five entries of the one before.
        let first = (round - 1) * 25 + 1;
        let entries: Vec<_> = (first..first + 30).map(|i| entry(i, round, 100)).collect();
        appender.save(None, &entries, true).unwrap();
        log.append(&entries);
        expected.truncate(usize::try_from(first - 1).unwrap());
        expected.extend(entries);
    }
    let last = expected.len() as u64;
    log.trim(last - 10, 0);
    assert!(log.bytes() <= 10 * entry_size(&entry(1, 1, 100)));
    assert_eq!(
        (log.first_index().unwrap(), log.last_index().unwrap()),
        (1, last)
    );

    // Three followers at different places, two of which lose a message now and then.
    let mut places = [1u64, 200, 200];
    let mut turn = 0;
    while places.iter().any(|p| *p <= last) {
        turn += 1;
        for (who, place) in places.iter_mut().enumerate() {
            if *place > last {
                continue;
            }
            let read = log.entries(*place..last + 1, 1500).unwrap();
            assert!(!read.is_empty());
            for entry in &read {
                let at = usize::try_from(entry.index - 1).unwrap();
                assert_eq!(*entry, expected[at], "entry {}", entry.index);
            }
            assert_eq!(read[0].index, *place);
            if who == 0 || turn % 3 != 0 {
                *place += read.len() as u64;
            }
        }
    }
    for (index, entry) in (1..).zip(&expected) {
        assert_eq!(log.term(index).unwrap(), entry.term);
    }
    // What is appended later than a window was opened is found as well.
    let more: Vec<_> = (last + 1..last + 50).map(|i| entry(i, 30, 100)).collect();
    appender.save(None, &more, true).unwrap();
    log.append(&more);
    log.trim(last + 49, 0);
    let mut next = last - 5;
    while next < last + 50 {
        for entry in log.entries(next..last + 50, u64::MAX).unwrap() {
            assert_eq!(entry.index, next);
            next += 1;
        }
    }
}

#[test]
fn a_log_that_cannot_be_read_back_sends_a_snapshot_instead() {
    let fs: DynFs = varve_vfs::SimFs::new().shared();
    let log = LogStore::default().reading_back(fs, PathBuf::from("/nowhere"));
    log.append(&(1..=9).map(|i| entry(i, 1, 10)).collect::<Vec<_>>());
    log.trim(5, 0);
    assert_eq!(log.first_index().unwrap(), 1);
    assert!(matches!(
        log.entries(2..9, u64::MAX),
        Err(StorageError::Compacted)
    ));
    assert_eq!(log.first_index().unwrap(), 6);
    assert_eq!(Storage::snapshot(&log).unwrap().metadata.index, 5);
}

#[test]
fn a_size_limit_returns_at_least_one_entry() {
    let log = store(&[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(log.entries(1..4, 0).unwrap().len(), 1);
    assert_eq!(log.entries(1..4, u64::MAX).unwrap().len(), 3);
    assert!(matches!(
        log.entries(1..5, u64::MAX),
        Err(StorageError::Unavailable)
    ));
}

#[test]
fn a_log_after_a_snapshot_starts_behind_it() {
    let log = LogStore::new(snapshot(10, 3), HardState::default(), vec![entry(11, 4, 1)]);
    assert_eq!(
        (log.first_index().unwrap(), log.last_index().unwrap()),
        (11, 11)
    );
    assert_eq!(log.term(10).unwrap(), 3);
}
