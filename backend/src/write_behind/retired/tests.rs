use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AT_MOST, Frozen, MOST, Retired};
use crate::BackendOptions;
use crate::write_behind::layer::Layer;

const LIMIT: usize = 10;

fn options() -> BackendOptions {
    BackendOptions {
        batch_limit: LIMIT,
        batch_bytes: 100 * LIMIT,
        ..BackendOptions::default()
    }
}

fn batch(generation: u64, ops: usize, bytes: usize) -> Frozen {
    Frozen {
        layer: Arc::new(Layer::default()),
        ops,
        bytes,
        tag: 0,
        generation,
    }
}

fn generations(batches: &[Frozen]) -> Vec<u64> {
    let mut numbers: Vec<u64> = batches.iter().map(|batch| batch.generation).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_batch_is_kept_exactly_as_long_as_a_view_reads_it() {
    let (mut retired, now) = (Retired::default(), Instant::now());
    let (read, unread) = (batch(1, 1, 1), batch(2, 1, 1));
    let view = Arc::clone(&read.layer);
    retired.add(vec![read, unread], now);
    assert_eq!(generations(&retired.sweep(now, &options())), [2]);
    assert_eq!(generations(&retired.sweep(now, &options())), [0; 0]);
    drop(view);
    assert_eq!(generations(&retired.sweep(now, &options())), [1]);
    assert_eq!(retired.due(), None);
}

#[test]
fn a_batch_whose_time_is_over_is_left_to_its_views() {
    let (mut retired, start) = (Retired::default(), Instant::now());
    let later = start + Duration::from_millis(1);
    let (first, second) = (batch(1, 1, 1), batch(2, 1, 1));
    let views = [Arc::clone(&first.layer), Arc::clone(&second.layer)];
    retired.add(vec![first], start);
    retired.add(vec![second], later);
    assert_eq!(retired.due(), Some(start + AT_MOST));
    let gone = retired.sweep(start + AT_MOST, &options());
    assert_eq!(generations(&gone), [1]);
    assert_eq!(retired.due(), Some(later + AT_MOST));
    drop(gone);
    assert_eq!(views.map(|view| Arc::strong_count(&view)), [1, 2]);
}

#[test]
fn no_more_is_kept_than_a_few_batches_and_the_newest_stay() {
    for (ops, bytes) in [(LIMIT, 1), (1, 100 * LIMIT)] {
        let (mut retired, now) = (Retired::default(), Instant::now());
        let mut views = Vec::new();
        for generation in 1..=20 {
            let batch = batch(generation, ops, bytes);
            views.push(Arc::clone(&batch.layer));
            retired.add(vec![batch], now);
            drop(retired.sweep(now, &options()));
            assert!(retired.batches.len() <= MOST);
        }
        drop(views);
        let left = retired.sweep(now, &options());
        assert_eq!(generations(&left), [17, 18, 19, 20]);
    }
}
