use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{FreeList, Run};
use crate::options::FreelistType;

fn run(start: u64, len: u64) -> Run {
    Run { start, len }
}

fn list(runs: &[Run]) -> FreeList {
    let mut free = FreeList::new(FreelistType::Map, std::iter::empty());
    for r in runs {
        free.release_run(*r);
    }
    free
}

#[test]
fn without_an_index_of_sizes_rows_come_from_the_lowest_place() {
    let runs = [run(5, 4), run(20, 2), run(30, 9)];
    let mut free = FreeList::new(FreelistType::Array, runs.into_iter());
    assert_eq!(free.free_pages(), 15);
    assert!(free.fits_below(3, 9) && !free.fits_below(5, 34));
    assert_eq!(free.allocate(2), Some(5));
    assert_eq!(free.allocate(9), Some(30));
    assert_eq!(free.allocate(1), Some(7));
    assert_eq!(free.allocate(3), None);
    free.release_run(run(9, 11));
    assert_eq!(free.allocate(12), Some(8));
}

#[test]
fn a_list_made_at_once_is_the_one_made_run_by_run() {
    let runs: Vec<Run> = (0..500).map(|n| run(2 + n * 10, 1 + n * 7 % 9)).collect();
    let mut at_once = FreeList::new(FreelistType::Map, runs.iter().copied());
    let mut one_by_one = list(&runs);
    assert_eq!(at_once.free_pages(), one_by_one.free_pages());
    for n in 0..900 {
        let len = 1 + n * 5 % 9;
        assert_eq!(at_once.allocate(len), one_by_one.allocate(len));
    }
}

#[test]
fn neighbours_become_one_run() {
    let free = list(&[run(10, 2), run(14, 1), run(12, 2)]);
    assert_eq!(free.runs().collect::<Vec<_>>(), [run(10, 5)]);
    assert_eq!(free.free_pages(), 5);
}

#[test]
fn single_pages_and_rows_come_from_the_bottom() {
    let mut free = list(&[run(5, 4), run(20, 2), run(30, 9)]);
    assert_eq!(free.allocate(2), Some(5));
    assert_eq!(free.allocate(1), Some(7));
    assert_eq!(free.allocate(9), Some(30));
    assert_eq!(free.allocate(4), None);
}

/// Holes at the end of a file that fit exactly must not keep what is moved there at the end.
#[test]
fn a_row_comes_from_low_room_however_many_better_fits_lie_above() {
    let above = (0..30).map(|n| run(1000 + 200 * n, 4 + n));
    let runs: Vec<Run> = std::iter::once(run(5, 100)).chain(above).collect();
    let mut free = list(&runs);
    assert!(free.fits_below(4, 900) && !free.fits_below(101, 10_000));
    for n in 0..25 {
        assert_eq!(free.allocate(4), Some(5 + 4 * n));
    }
    assert_eq!(free.allocate(4), Some(1000));
}

#[test]
fn pages_wait_exactly_for_the_readers_that_can_see_them() {
    let mut free = FreeList::default();
    // Written before anything we know of, freed by commit 5: readers of 4 and before see it.
    free.commit(5, &[run(7, 1)], &[run(2, 1)]);
    free.release(&[4, 6]);
    assert_eq!((free.free_pages(), free.pending_pages()), (0, 1));
    // Written by 5, freed by 6: the reader of 4 does not see it.
    free.commit(6, &[], &[run(7, 1)]);
    free.release(&[4, 6]);
    assert_eq!(free.runs().collect::<Vec<_>>(), [run(7, 1)]);
    free.release(&[6]);
    assert_eq!(free.runs().collect::<Vec<_>>(), [run(2, 1), run(7, 1)]);
    assert_eq!(free.pending_pages(), 0);
}

proptest! {
    /// Against a set of single pages: nothing is handed out twice, nothing is lost.
    #[test]
    fn behaves_like_a_set_of_pages(ops in prop::collection::vec((any::<bool>(), 1..6u64, 0..30usize), 1..200)) {
        let mut free = list(&[run(2, 60)]);
        let mut model: BTreeSet<u64> = (2..62).collect();
        let mut held: Vec<Run> = Vec::new();
        for (allocate, len, pick) in ops {
            if allocate {
                match free.allocate(len) {
                    Some(start) => {
                        for page in start..start + len {
                            prop_assert!(model.remove(&page));
                        }
                        held.push(run(start, len));
                    }
                    None => {
                        let fits = model.iter().any(|p| (*p..*p + len).all(|q| model.contains(&q)));
                        prop_assert!(!fits);
                    }
                }
            } else if !held.is_empty() {
                let r = held.swap_remove(pick % held.len());
                model.extend(r.start..r.end());
                free.release_run(r);
            }
            prop_assert_eq!(free.free_pages(), model.len() as u64);
            let pages: Vec<u64> = free.runs().flat_map(|r| r.start..r.end()).collect();
            prop_assert_eq!(pages, model.iter().copied().collect::<Vec<_>>());
        }
    }
}
