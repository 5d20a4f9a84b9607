use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use varve_proto::raftpb::{Entry, Snapshot};

use super::RaftLog;
use crate::entry::{EntryId, encoded_size, encoded_size_of};
use crate::error::Error;
use crate::ids::{Index, Term};
use crate::logger::NoLogger;
use crate::storage::{MemoryStorage, Storage, StorageError, StorageResult};

fn entry(term: u64, index: u64) -> Entry {
    Entry {
        term,
        index,
        ..Entry::default()
    }
}

fn at(index: u64) -> Index {
    Index::new(index)
}

fn id(term: u64, index: u64) -> EntryId {
    EntryId {
        term: Term::new(term),
        index: at(index),
    }
}

fn snapshot(term: u64, index: u64) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.metadata.term = term;
    snapshot.metadata.index = index;
    snapshot
}

fn log_on(storage: MemoryStorage, max_applying: u64) -> RaftLog<MemoryStorage> {
    RaftLog::new(storage, max_applying, Arc::new(NoLogger)).unwrap()
}

/// Entries with these terms, from index 1 on; the first `stable` of them in storage.
fn log(terms: &[u64], stable: usize) -> RaftLog<MemoryStorage> {
    let entries: Vec<Entry> = (1..)
        .zip(terms)
        .map(|(index, term)| entry(*term, index))
        .collect();
    let storage = MemoryStorage::new();
    storage.append(&entries[..stable]).unwrap();
    let mut log = log_on(storage, u64::MAX);
    log.append(&mut entries[stable..].to_vec());
    log
}

fn terms(log: &RaftLog<MemoryStorage>) -> Vec<u64> {
    (log.first_index().unwrap().get()..=log.last_index().get())
        .map(|index| log.term(at(index)).unwrap().get())
        .collect()
}

/// The entries from `from` on.
fn read(log: &RaftLog<MemoryStorage>, from: u64, max_size: u64) -> StorageResult<Vec<Entry>> {
    let mut out = Vec::new();
    log.entries(at(from), max_size, &mut out).map(|()| out)
}

/// The entries to apply next.
fn committed(log: &RaftLog<MemoryStorage>, allow_unstable: bool) -> StorageResult<Vec<Entry>> {
    let mut out = Vec::new();
    log.next_committed(allow_unstable, &mut out).map(|()| out)
}

/// Writes what is unstable to storage and reports it.
fn persist(log: &mut RaftLog<MemoryStorage>) {
    log.storage.append(log.next_unstable_entries()).unwrap();
    log.accept_unstable();
    log.stable_to(log.last_id().unwrap());
}

#[test]
fn appending_replaces_what_conflicts_and_what_follows_it() {
    let table: [(&[Entry], &[u64], u64); 4] = [
        (&[], &[1, 2], 3),
        (&[entry(2, 3)], &[1, 2, 2], 3),
        (&[entry(2, 1)], &[2], 1),
        (&[entry(3, 2), entry(3, 3)], &[1, 3, 3], 2),
    ];
    for (entries, expected, offset) in table {
        let mut log = log(&[1, 2], 2);
        log.append(&mut entries.to_vec());
        assert_eq!(terms(&log), expected);
        assert_eq!(log.unstable.offset(), at(offset));
    }
}

#[test]
fn a_leaders_entries_are_taken_if_the_log_has_what_comes_before_them() {
    // Log 1/1 2/2 3/3 with 1 committed.
    // previous, entries, commit -> result, committed, terms
    type Row<'a> = (EntryId, &'a [Entry], u64, Option<u64>, u64, &'a [u64]);
    let table: [Row<'_>; 12] = [
        (id(2, 3), &[entry(4, 4)], 3, None, 1, &[1, 2, 3]),
        (id(3, 4), &[entry(4, 5)], 3, None, 1, &[1, 2, 3]),
        (id(3, 3), &[], 3, Some(3), 3, &[1, 2, 3]),
        // A commit index counts only as far as the message vouches for the log.
        (id(3, 3), &[], 4, Some(3), 3, &[1, 2, 3]),
        (id(3, 3), &[], 2, Some(3), 2, &[1, 2, 3]),
        (id(3, 3), &[], 0, Some(3), 1, &[1, 2, 3]),
        (id(0, 0), &[], 3, Some(0), 1, &[1, 2, 3]),
        (id(3, 3), &[entry(4, 4)], 3, Some(4), 3, &[1, 2, 3, 4]),
        (id(3, 3), &[entry(4, 4)], 5, Some(4), 4, &[1, 2, 3, 4]),
        // What is there already stays, with what follows it.
        (id(1, 1), &[entry(2, 2)], 1, Some(2), 1, &[1, 2, 3]),
        (id(1, 1), &[entry(4, 2)], 1, Some(2), 1, &[1, 4]),
        (
            id(2, 2),
            &[entry(3, 3), entry(4, 4)],
            4,
            Some(4),
            4,
            &[1, 2, 3, 4],
        ),
    ];
    for (previous, entries, commit, result, committed, expected) in table {
        for stable in 0..=3 {
            let mut log = log(&[1, 2, 3], stable);
            log.commit_to(at(1)).unwrap();
            let got = log
                .maybe_append(previous, &mut entries.to_vec(), at(commit))
                .unwrap();
            assert_eq!(got, result.map(at), "{previous:?} {entries:?}");
            assert_eq!(log.committed(), at(committed), "{previous:?} {entries:?}");
            assert_eq!(terms(&log), expected, "{previous:?} {entries:?}");
        }
    }
}

#[test]
fn a_committed_entry_is_never_replaced() {
    let mut log = log(&[1, 2, 3], 3);
    log.commit_to(at(2)).unwrap();
    let refused = log.maybe_append(id(1, 1), &mut vec![entry(4, 2)], at(2));
    assert!(matches!(
        refused,
        Err(Error::CommittedConflict {
            index: 2,
            committed: 2
        })
    ));
    assert_eq!(terms(&log), [1, 2, 3]);
}

#[test]
fn commit_never_goes_back_nor_past_the_end() {
    let mut log = log(&[1, 2, 3], 1);
    log.commit_to(at(2)).unwrap();
    log.commit_to(at(1)).unwrap();
    assert_eq!(log.committed(), at(2));
    let refused = log.commit_to(at(4));
    assert!(matches!(
        refused,
        Err(Error::CommitOutOfRange {
            commit: 4,
            last_index: 3
        })
    ));
    assert_eq!(log.committed(), at(2));
}

#[test]
fn only_entries_of_the_present_term_are_committed_by_counting() {
    let mut log = log(&[1, 2, 2], 3);
    assert!(!log.maybe_commit(id(3, 2)).unwrap());
    assert!(
        !log.maybe_commit(id(0, 5)).unwrap(),
        "beyond the end nothing matches"
    );
    assert!(log.maybe_commit(id(2, 3)).unwrap());
    assert!(!log.maybe_commit(id(2, 3)).unwrap(), "that is no news");
}

#[test]
fn a_log_is_up_to_date_by_last_term_then_by_length() {
    let log = log(&[1, 2, 3], 2);
    let table = [
        (id(4, 2), true),
        (id(4, 4), true),
        (id(2, 2), false),
        (id(2, 9), false),
        (id(3, 2), false),
        (id(3, 3), true),
        (id(3, 4), true),
    ];
    for (theirs, expected) in table {
        assert_eq!(log.is_up_to_date(theirs).unwrap(), expected, "{theirs:?}");
    }
}

#[test]
fn the_guess_where_logs_match_skips_terms_the_other_cannot_have() {
    // index, term -> index, term
    let table: [(&[u64], u64, u64, u64, u64); 9] = [
        (&[2, 2, 5, 5, 5], 5, 5, 5, 5),
        (&[2, 2, 5, 5, 5], 5, 4, 2, 2),
        (&[2, 2, 5, 5, 5], 5, 2, 2, 2),
        (&[2, 2, 5, 5, 5], 5, 1, 0, 0),
        (&[2, 2, 5, 5, 5], 1, 2, 1, 2),
        (&[2, 2, 5, 5, 5], 0, 0, 0, 0),
        // Beyond the end the term is not known: it may match.
        (&[2, 2, 5, 5, 5], 9, 2, 9, 0),
        (&[2, 2, 5, 5, 5], u64::MAX >> 1, 2, u64::MAX >> 1, 0),
        (&[], 0, 5, 0, 0),
    ];
    for (terms, index, term, at, of) in table {
        let log = log(terms, terms.len() / 2);
        assert_eq!(
            log.find_conflict_by_term(id(term, index)).unwrap(),
            id(of, at),
            "{terms:?} {index}"
        );
    }
}

#[test]
fn the_guess_stops_where_the_log_is_compacted() {
    let log = log(&[3, 3, 3, 3], 4);
    log.storage.compact(2).unwrap();
    assert_eq!(log.find_conflict_by_term(id(1, 4)).unwrap(), id(0, 1));
}

#[test]
fn positions_follow_compaction() {
    let log = log(&[1; 10], 5);
    log.storage.compact(3).unwrap();
    assert_eq!(
        (log.first_index().unwrap(), log.last_index()),
        (at(4), at(10))
    );
    assert!(matches!(log.term(at(2)), Err(StorageError::Compacted)));
    assert_eq!(log.term(at(3)).unwrap(), Term::new(1));
    assert!(matches!(log.term(at(11)), Err(StorageError::Unavailable)));
    assert!(matches!(
        read(&log, 3, u64::MAX),
        Err(StorageError::Compacted)
    ));
    assert_eq!(read(&log, 4, u64::MAX).unwrap().len(), 7);
    assert_eq!(read(&log, 11, u64::MAX).unwrap(), []);
}

#[test]
fn a_pending_snapshot_hides_what_storage_still_has() {
    let mut log = log(&[1, 1, 1], 3);
    log.restore(snapshot(4, 9));
    assert_eq!(
        (log.first_index().unwrap(), log.last_index()),
        (at(10), at(9))
    );
    assert_eq!(log.last_id().unwrap(), id(4, 9));
    assert!(matches!(log.term(at(3)), Err(StorageError::Compacted)));
    assert_eq!(log.committed(), at(9));
    assert!(log.has_unstable_snapshot());
    assert!(
        !log.has_next_committed(true),
        "the snapshot is applied first"
    );
    log.stable_snapshot_to(at(8));
    assert!(log.has_unstable_snapshot(), "that was another one");
    log.stable_snapshot_to(at(9));
    assert!(!log.has_unstable_snapshot());
}

#[test]
fn unstable_entries_are_applied_only_if_allowed() {
    let mut log = log(&[1, 1, 1], 1);
    log.commit_to(at(3)).unwrap();
    assert_eq!(committed(&log, false).unwrap().len(), 1);
    assert_eq!(committed(&log, true).unwrap().len(), 3);
    persist(&mut log);
    assert_eq!(committed(&log, false).unwrap().len(), 3);
}

#[test]
fn what_is_being_applied_is_bounded_across_hand_outs() {
    let one = encoded_size(&entry(1, 1));
    let storage = MemoryStorage::new();
    storage
        .append(&(1..=5).map(|index| entry(1, index)).collect::<Vec<_>>())
        .unwrap();
    let mut log = log_on(storage, 2 * one);
    log.commit_to(at(5)).unwrap();

    let first = committed(&log, false).unwrap();
    assert_eq!(first.len(), 2);
    log.accept_applying(at(2), encoded_size_of(&first), false);
    assert!(!log.has_next_committed(false), "the limit is reached");
    assert_eq!(committed(&log, false).unwrap(), []);

    log.applied_to(at(1), one).unwrap();
    let second = committed(&log, false).unwrap();
    assert_eq!(
        second.iter().map(|entry| entry.index).collect::<Vec<_>>(),
        [3]
    );
    log.accept_applying(at(3), encoded_size_of(&second), false);
    assert!(!log.has_next_committed(false));

    log.applied_to(at(3), 2 * one).unwrap();
    assert_eq!(committed(&log, false).unwrap().len(), 2);
}

#[test]
fn an_entry_that_did_not_fit_waits_although_there_is_room_for_a_smaller_one() {
    let one = encoded_size(&entry(1, 1));
    let storage = MemoryStorage::new();
    let large = Entry {
        data: Some(Bytes::from(vec![0; 100])),
        ..entry(1, 2)
    };
    storage.append(&[entry(1, 1), large]).unwrap();
    let mut log = log_on(storage, 2 * one);
    log.commit_to(at(2)).unwrap();
    let first = committed(&log, false).unwrap();
    assert_eq!(first.len(), 1);
    log.accept_applying(at(1), one, false);
    // Half the room is left, which is what a single entry of any size would slip through.
    assert!(!log.has_next_committed(false));
    log.applied_to(at(1), one).unwrap();
    assert_eq!(committed(&log, false).unwrap().len(), 1);
}

#[test]
fn applied_lies_between_what_was_applied_and_what_is_committed() {
    let mut log = log(&[1; 5], 5);
    log.commit_to(at(4)).unwrap();
    log.applied_to(at(3), 0).unwrap();
    assert!(matches!(
        log.applied_to(at(5), 0),
        Err(Error::AppliedOutOfRange { .. })
    ));
    assert!(matches!(
        log.applied_to(at(2), 0),
        Err(Error::AppliedOutOfRange { .. })
    ));
    assert_eq!(log.applied(), at(3));
}

#[test]
fn a_scan_sees_every_entry_once_and_stops_when_told() {
    let log = log(&[1; 9], 5);
    for page in [0, 1, 3 * encoded_size(&entry(1, 1)), u64::MAX] {
        let mut seen = Vec::new();
        log.scan(at(2)..at(9), page, |entries| {
            seen.extend(entries.iter().map(|entry| entry.index));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen, (2..9).collect::<Vec<_>>());
    }
    let mut pages = 0;
    log.scan(at(2)..at(9), 0, |_| {
        pages += 1;
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(pages, 1);
    let beyond = log.scan(at(9)..at(12), 0, |_| ControlFlow::Continue(()));
    assert!(matches!(beyond, Err(StorageError::Unavailable)));
}

proptest! {
    /// Entries come from storage up to some index and from memory after it; a reader must not notice.
    #[test]
    fn reading_does_not_depend_on_what_is_stable(
        sizes in prop::collection::vec(0..40_usize, 1..12),
        stable in 0..12_usize,
        from in 1..13_u64,
        limit in 0..300_u64,
    ) {
        let entries: Vec<Entry> = (1..)
            .zip(&sizes)
            .map(|(index, size)| Entry { data: Some(vec![7; *size].into()), ..entry(1, index) })
            .collect();
        let stable = stable.min(entries.len());
        let storage = MemoryStorage::new();
        storage.append(&entries[..stable]).unwrap();
        let mut log = log_on(storage, u64::MAX);
        log.append(&mut entries[stable..].to_vec());

        let mut expected: Vec<Entry> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.index >= from) {
            let size = encoded_size_of(&expected) + encoded_size(entry);
            if size > limit && !expected.is_empty() {
                break;
            }
            expected.push(entry.clone());
        }
        prop_assert_eq!(read(&log, from, limit).unwrap(), expected);
    }

    /// Appends, writes and their completion in any order, against a plain vector of terms.
    #[test]
    fn the_log_is_a_sequence_whatever_is_stable(
        steps in prop::collection::vec((0..4_u8, 1..12_u64, 1..4_usize), 1..60),
    ) {
        let mut log = log(&[], 0);
        let (mut model, mut term): (Vec<u64>, u64) = (Vec::new(), 1);
        for (step, from, count) in steps {
            match step {
                0 | 1 => {
                    term += 1;
                    let from = from.min(model.len() as u64 + 1);
                    model.truncate(usize::try_from(from - 1).unwrap());
                    model.extend(std::iter::repeat_n(term, count));
                    let mut added = (from..).take(count).map(|index| entry(term, index)).collect();
                    log.append(&mut added);
                }
                2 => {
                    // Handed out, written, and reported at once.
                    persist(&mut log);
                }
                _ => {
                    // Handed out and written, and not reported yet.
                    log.storage.append(log.next_unstable_entries()).unwrap();
                    log.accept_unstable();
                }
            }
            prop_assert_eq!(terms(&log), model.clone());
            prop_assert_eq!(log.last_index(), at(model.len() as u64));
        }
        persist(&mut log);
        prop_assert!(!log.has_unstable_entries());
        let stored = log.storage.entries(1..log.last_index().next().get(), u64::MAX).unwrap_or_default();
        prop_assert_eq!(stored.iter().map(|entry| entry.term).collect::<Vec<_>>(), model);
    }
}
