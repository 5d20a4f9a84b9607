use bytes::Bytes;
use varve_proto::raftpb::SnapshotMetadata;

use super::*;

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

#[test]
fn compaction_keeps_a_tail_behind_applied_and_everything_after_it() {
    let log = store(&(1..=100).map(|i| (i, 1)).collect::<Vec<_>>());
    log.compact(80, 10, usize::MAX);
    assert_eq!(log.first_index().unwrap(), 71);
    assert_eq!(log.term(70).unwrap(), 1);
    assert!(matches!(log.term(69), Err(StorageError::Compacted)));
    assert!(matches!(
        log.entries(70, 72, u64::MAX),
        Err(StorageError::Compacted)
    ));
    assert_eq!(log.last_index().unwrap(), 100);
}

#[test]
fn compaction_by_bytes_never_drops_what_is_not_applied() {
    let log = store(&(1..=100).map(|i| (i, 1)).collect::<Vec<_>>());
    log.compact(50, u64::MAX, 1);
    assert_eq!(log.first_index().unwrap(), 51);
}

#[test]
fn a_size_limit_returns_at_least_one_entry() {
    let log = store(&[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(log.entries(1, 4, 0).unwrap().len(), 1);
    assert_eq!(log.entries(1, 4, u64::MAX).unwrap().len(), 3);
    assert!(matches!(
        log.entries(1, 5, u64::MAX),
        Err(StorageError::Unavailable)
    ));
}

#[test]
fn a_log_after_a_snapshot_starts_behind_it() {
    let metadata = SnapshotMetadata {
        index: 10,
        term: 3,
        ..SnapshotMetadata::default()
    };
    let snapshot = Snapshot {
        metadata,
        ..Snapshot::default()
    };
    let log = LogStore::new(snapshot, HardState::default(), vec![entry(11, 4, 1)]);
    assert_eq!(
        (log.first_index().unwrap(), log.last_index().unwrap()),
        (11, 11)
    );
    assert_eq!(log.term(10).unwrap(), 3);
}
