use std::sync::Arc;

use varve_proto::raftpb::{Entry, Snapshot};

use super::Unstable;
use crate::entry::EntryId;
use crate::ids::{Index, Term};
use crate::logger::NoLogger;

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

/// Entries of term 1 with these indexes.
fn unstable(indexes: std::ops::Range<u64>) -> Unstable {
    let mut unstable = Unstable::new(at(indexes.start), Arc::new(NoLogger));
    if !indexes.is_empty() {
        unstable.truncate_and_append(&mut indexes.map(|index| entry(1, index)).collect());
    }
    unstable
}

fn next(unstable: &Unstable) -> Vec<(u64, u64)> {
    unstable
        .next_entries()
        .iter()
        .map(|entry| (entry.term, entry.index))
        .collect()
}

#[test]
fn terms_are_known_of_what_is_held() {
    let mut held = unstable(5..7);
    assert_eq!(
        [4, 5, 6, 7].map(|index| held.term(at(index)).map(Term::get)),
        [None, Some(1), Some(1), None]
    );
    held.restore(snapshot(3, 9));
    assert_eq!(
        [8, 9, 10].map(|index| held.term(at(index)).map(Term::get)),
        [None, Some(3), None]
    );
    held.truncate_and_append(&mut vec![entry(4, 10)]);
    assert_eq!(
        [8, 9, 10].map(|index| held.term(at(index)).map(Term::get)),
        [None, Some(3), Some(4)]
    );
}

#[test]
fn the_log_ends_where_storage_does_once_nothing_is_held() {
    let mut held = unstable(5..8);
    assert_eq!(held.last_index(), at(7));
    held.accept_in_progress();
    held.stable_to(id(1, 7));
    assert_eq!((held.last_index(), held.len()), (at(7), 0));
}

#[test]
fn everything_is_handed_out_once() {
    let mut held = unstable(5..7);
    assert_eq!(next(&held), [(1, 5), (1, 6)]);
    held.accept_in_progress();
    assert_eq!(next(&held), []);
    held.truncate_and_append(&mut vec![entry(1, 7)]);
    assert_eq!(next(&held), [(1, 7)]);

    held.restore(snapshot(2, 9));
    assert!(held.next_snapshot().is_some());
    held.accept_in_progress();
    assert!(held.next_snapshot().is_none());
    assert!(held.snapshot().is_some(), "it is held until it is saved");
}

#[test]
fn what_replaces_something_handed_out_is_handed_out_too() {
    let mut held = unstable(5..8);
    held.accept_in_progress();
    held.truncate_and_append(&mut vec![entry(2, 6)]);
    assert_eq!(next(&held), [(2, 6)]);
    held.truncate_and_append(&mut vec![entry(3, 4), entry(3, 5)]);
    assert_eq!(next(&held), [(3, 4), (3, 5)]);
    assert_eq!(held.offset(), at(4));
}

#[test]
fn only_news_about_what_is_still_held_counts() {
    // term, index of the news -> first index held after that
    for (term, index, offset) in [(1, 5, 6), (1, 6, 7), (2, 6, 5), (1, 4, 5), (1, 7, 5)] {
        let mut held = unstable(5..7);
        held.accept_in_progress();
        held.stable_to(id(term, index));
        assert_eq!(held.offset(), at(offset), "{term}/{index}");
        assert!(held.in_progress() >= held.offset());
    }
}

#[test]
fn news_about_a_snapshot_says_nothing_about_entries() {
    let mut held = unstable(5..5);
    held.restore(snapshot(1, 4));
    held.truncate_and_append(&mut vec![entry(1, 5)]);
    held.stable_to(id(1, 4));
    assert_eq!((held.offset(), held.len()), (at(5), 1));
    assert!(held.snapshot().is_some());
}

#[test]
fn partly_written_entries_stay_in_progress() {
    let mut held = unstable(5..8);
    held.accept_in_progress();
    held.truncate_and_append(&mut vec![entry(1, 8)]);
    held.stable_to(id(1, 6));
    assert_eq!((held.offset(), held.in_progress()), (at(7), at(8)));
    assert_eq!(next(&held), [(1, 8)]);
    // News beyond what was handed out: storage has more than it was given here, by a leader's word.
    held.stable_to(id(1, 8));
    assert_eq!((held.offset(), held.in_progress()), (at(9), at(9)));
}
