use bytes::Bytes;
use varve_proto::raftpb::{ConfState, Entry, Snapshot};

use super::{MemoryStorage, Storage, StorageError};
use crate::entry::encoded_size;

fn entry(term: u64, index: u64) -> Entry {
    Entry {
        term,
        index,
        ..Entry::default()
    }
}

/// Entries 4 and 5 after a base at 3, with terms equal to indexes.
fn storage() -> MemoryStorage {
    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 3;
    snapshot.metadata.term = 3;
    let storage = MemoryStorage::new();
    storage.apply_snapshot(snapshot).unwrap();
    storage.append(&[entry(4, 4), entry(5, 5)]).unwrap();
    storage
}

fn all(storage: &MemoryStorage) -> Vec<(u64, u64)> {
    let (first, last) = (
        storage.first_index().unwrap(),
        storage.last_index().unwrap(),
    );
    let entries = storage.entries(first..last + 1, u64::MAX).unwrap();
    entries
        .iter()
        .map(|entry| (entry.term, entry.index))
        .collect()
}

#[test]
fn terms_reach_from_the_base_to_the_end() {
    let storage = storage();
    assert!(matches!(storage.term(2), Err(StorageError::Compacted)));
    assert_eq!(
        [3, 4, 5].map(|index| storage.term(index).unwrap()),
        [3, 4, 5]
    );
    assert!(matches!(storage.term(6), Err(StorageError::Unavailable)));
    assert!(matches!(
        storage.term(u64::MAX),
        Err(StorageError::Unavailable)
    ));
}

#[test]
fn entries_are_cut_off_at_a_size_but_one_is_always_there() {
    let storage = storage();
    let one = encoded_size(&entry(4, 4));
    for (limit, count) in [
        (0, 1),
        (one, 1),
        (2 * one - 1, 1),
        (2 * one, 2),
        (u64::MAX, 2),
    ] {
        assert_eq!(
            storage.entries(4..6, limit).unwrap().len(),
            count,
            "limit {limit}"
        );
    }
    assert!(matches!(
        storage.entries(3..5, u64::MAX),
        Err(StorageError::Compacted)
    ));
    assert!(matches!(
        storage.entries(4..7, u64::MAX),
        Err(StorageError::Unavailable)
    ));
}

#[test]
fn appending_replaces_from_the_first_entry_on() {
    // what is appended -> what is there then
    type Row<'a> = (&'a [Entry], &'a [(u64, u64)]);
    let table: [Row<'_>; 6] = [
        (&[], &[(4, 4), (5, 5)]),
        (&[entry(1, 1), entry(2, 2)], &[(4, 4), (5, 5)]),
        (&[entry(6, 5), entry(6, 6)], &[(4, 4), (6, 5), (6, 6)]),
        (&[entry(3, 3), entry(6, 4)], &[(6, 4)]),
        (&[entry(6, 4)], &[(6, 4)]),
        (&[entry(6, 6)], &[(4, 4), (5, 5), (6, 6)]),
    ];
    for (entries, expected) in table {
        let storage = storage();
        storage.append(entries).unwrap();
        assert_eq!(all(&storage), expected);
    }
}

#[test]
fn a_gap_is_refused() {
    let refused = storage().append(&[entry(7, 7)]);
    assert!(matches!(
        refused,
        Err(StorageError::Gap { last: 5, first: 7 })
    ));
}

#[test]
fn compacting_keeps_the_term_of_what_it_took() {
    let storage = storage();
    assert!(matches!(storage.compact(3), Err(StorageError::Compacted)));
    assert!(matches!(storage.compact(6), Err(StorageError::Unavailable)));
    storage.compact(4).unwrap();
    assert_eq!(storage.first_index().unwrap(), 5);
    assert_eq!(storage.term(4).unwrap(), 4);
    assert_eq!(all(&storage), [(5, 5)]);
    storage.compact(5).unwrap();
    assert_eq!(
        (
            storage.first_index().unwrap(),
            storage.last_index().unwrap()
        ),
        (6, 5)
    );
}

#[test]
fn a_snapshot_is_of_the_log_and_newer_than_the_one_before() {
    let storage = storage();
    let conf_state = ConfState {
        voters: vec![1, 2, 3],
        ..ConfState::default()
    };
    let data = Bytes::from_static(b"state");
    let snapshot = storage
        .create_snapshot(4, Some(&conf_state), data.clone())
        .unwrap();
    assert_eq!((snapshot.metadata.index, snapshot.metadata.term), (4, 4));
    assert_eq!(snapshot.metadata.conf_state, conf_state);
    assert_eq!(snapshot.data, Some(data.clone()));
    let again = storage.create_snapshot(4, None, data.clone());
    assert!(matches!(again, Err(StorageError::SnapOutOfDate)));
    assert!(matches!(
        storage.create_snapshot(6, None, data),
        Err(StorageError::Unavailable)
    ));
    // The configuration stays if none is given.
    let later = storage.create_snapshot(5, None, Bytes::new()).unwrap();
    assert_eq!(later.metadata.conf_state, conf_state);
}

#[test]
fn an_older_snapshot_is_not_applied_over_a_newer_one() {
    let storage = storage();
    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 3;
    assert!(matches!(
        storage.apply_snapshot(snapshot.clone()),
        Err(StorageError::SnapOutOfDate)
    ));
    snapshot.metadata.index = 9;
    storage.apply_snapshot(snapshot).unwrap();
    assert_eq!(
        (
            storage.first_index().unwrap(),
            storage.last_index().unwrap()
        ),
        (10, 9)
    );
}
