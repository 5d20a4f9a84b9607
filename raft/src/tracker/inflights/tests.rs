use proptest::prelude::*;

use super::{InflightLimits, Inflights};
use crate::ids::Index;

fn limited(messages: usize, bytes: u64) -> Inflights {
    Inflights::new(InflightLimits { messages, bytes })
}

fn at(index: u64) -> Index {
    Index::new(index)
}

#[test]
fn a_window_is_full_at_its_number_of_messages() {
    let mut window = limited(3, 0);
    for index in 1..=3 {
        assert!(!window.is_full());
        window.add(at(index), 100);
    }
    assert!(window.is_full());
    window.free_to(at(1));
    assert!(!window.is_full());
    assert_eq!(window.count(), 2);
}

#[test]
fn the_message_that_crosses_the_byte_limit_is_admitted() {
    let mut window = limited(10, 200);
    window.add(at(1), 150);
    assert!(!window.is_full());
    window.add(at(2), 5000);
    assert!(window.is_full());
    window.free_to(at(1));
    assert!(window.is_full());
    window.free_to(at(2));
    assert!(!window.is_full());
}

#[test]
fn an_acknowledgement_frees_everything_up_to_it_and_nothing_beyond() {
    let mut window = limited(10, 0);
    for index in [5, 7, 9] {
        window.add(at(index), 1);
    }
    for (acknowledged, left) in [(4, 3), (6, 2), (6, 2), (9, 0), (100, 0)] {
        window.free_to(at(acknowledged));
        assert_eq!(window.count(), left, "after {acknowledged}");
    }
}

#[test]
fn a_cleared_window_is_as_good_as_new() {
    let mut window = limited(2, 10);
    window.add(at(1), 10);
    assert!(window.is_full());
    window.clear();
    assert_eq!(window, limited(2, 10));
}

#[test]
#[should_panic(expected = "full window")]
fn nothing_is_sent_through_a_full_window() {
    let mut window = limited(1, 0);
    window.add(at(1), 0);
    window.add(at(2), 0);
}

proptest! {
    /// Against a plain list of what is under way.
    #[test]
    fn the_window_counts_what_is_under_way(
        steps in prop::collection::vec((any::<bool>(), 1..4_u64, 0..50_u64), 1..200),
        max_messages in 1..8_usize,
        max_bytes in 0..100_u64,
    ) {
        let mut window = limited(max_messages, max_bytes);
        let (mut model, mut next): (Vec<(u64, u64)>, u64) = (Vec::new(), 1);
        for (add, distance, size) in steps {
            let bytes: u64 = model.iter().map(|(_, bytes)| bytes).sum();
            let full = model.len() >= max_messages || (max_bytes > 0 && bytes >= max_bytes);
            prop_assert_eq!(window.is_full(), full);
            if add && !full {
                next += distance;
                window.add(at(next), size);
                model.push((next, size));
            } else {
                let to = next.saturating_sub(distance);
                window.free_to(at(to));
                model.retain(|(index, _)| *index > to);
            }
            prop_assert_eq!(window.count(), model.len());
        }
    }
}
