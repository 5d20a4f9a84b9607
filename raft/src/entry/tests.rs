use bytes::Bytes;
use proptest::prelude::*;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::Entry;

use super::{EntryId, encoded_size, malformed_run, payload_size, prefix_within};
use crate::ids::{Index, Term};

fn entry(term: u64, index: u64) -> Entry {
    Entry {
        term,
        index,
        ..Entry::default()
    }
}

proptest! {
    #[test]
    fn the_size_of_an_entry_is_that_of_its_encoding(
        kind in any::<i32>(),
        term in any::<u64>(),
        index in any::<u64>(),
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
    ) {
        let entry = Entry { r#type: kind, term, index, data: data.map(Bytes::from) };
        prop_assert_eq!(encoded_size(&entry), entry.encoded_len() as u64);
    }
}

#[test]
fn an_entry_is_named_by_term_and_index() {
    assert_eq!(EntryId::of(&entry(2, 17)).to_string(), "2/17");
}

#[test]
fn an_entry_without_payload_weighs_nothing() {
    assert_eq!(payload_size(&entry(5, 7)), 0);
    assert_eq!(
        payload_size(&Entry {
            data: Some(Bytes::new()),
            ..entry(5, 7)
        }),
        0
    );
}

#[test]
fn a_prefix_is_never_empty_and_never_too_large_otherwise() {
    let entries = [entry(4, 4), entry(5, 5), entry(6, 6)];
    let one = encoded_size(&entries[0]);
    let table = [
        (0, 1),
        (one, 1),
        (2 * one, 2),
        (3 * one - 1, 2),
        (3 * one, 3),
        (u64::MAX, 3),
    ];
    for (limit, count) in table {
        assert_eq!(prefix_within(&entries, limit), count, "limit {limit}");
    }
    assert_eq!(prefix_within(&[], 100), 0);
}

#[test]
fn a_run_of_entries_is_consecutive_and_its_terms_do_not_decrease() {
    let id = |term, index| EntryId {
        term: Term::new(term),
        index: Index::new(index),
    };
    let good: [(u64, EntryId, &[Entry]); 4] = [
        (0, id(0, 0), &[]),
        (5, id(5, 10), &[]),
        (5, id(2, 10), &[entry(2, 11), entry(3, 12), entry(5, 13)]),
        (9, id(0, 0), &[entry(1, 1)]),
    ];
    for (leader_term, previous, entries) in good {
        assert_eq!(
            malformed_run(Term::new(leader_term), previous, entries),
            None
        );
    }
    let bad: [(u64, EntryId, &[Entry]); 7] = [
        (1, id(2, 10), &[]),
        (5, id(2, 10), &[entry(2, 12)]),
        (5, id(2, 10), &[entry(2, 10)]),
        (5, id(2, 10), &[entry(1, 11)]),
        (5, id(2, 10), &[entry(3, 11), entry(2, 12)]),
        (5, id(2, 10), &[entry(3, 11), entry(6, 12)]),
        (5, id(2, u64::MAX), &[entry(3, 0)]),
    ];
    for (leader_term, previous, entries) in bad {
        assert!(
            malformed_run(Term::new(leader_term), previous, entries).is_some(),
            "{previous:?} {entries:?}"
        );
    }
}
