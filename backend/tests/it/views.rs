//! The write-behind batch against the plainest model there is: a map copied for every view.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::{Backend, BackendOptions, Bucket, Direction, KeyRange, MemoryEngine, View};

const BUCKETS: [Bucket; 2] = [Bucket::new("a"), Bucket::new("key")];

type Model = BTreeMap<(Bucket, Bytes), Bytes>;

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, u8),
    Delete(usize, u8),
    End,
    Commit,
    View,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2usize, 0..40u8, any::<u8>()).prop_map(|(b, k, v)| Step::Put(b, k, v)),
        2 => (0..2usize, 0..40u8).prop_map(|(b, k)| Step::Delete(b, k)),
        2 => Just(Step::End),
        1 => Just(Step::Commit),
        1 => Just(Step::View),
    ];
    prop::collection::vec(step, 1..120)
}

fn key(k: u8) -> Bytes {
    Bytes::from(vec![b'k', k])
}

fn listing(view: &View, bucket: Bucket, range: &KeyRange, dir: Direction) -> Vec<(Bytes, Bytes)> {
    let mut scan = view.scan(bucket, range, dir).unwrap();
    let mut out = Vec::new();
    while let Some(pair) = scan.next().unwrap() {
        out.push(pair);
    }
    let mut visited = Vec::new();
    let mut visitor = |k: &[u8], v: &[u8]| {
        visited.push((Bytes::copy_from_slice(k), Bytes::copy_from_slice(v)));
        true
    };
    view.visit(bucket, range, dir, &mut visitor).unwrap();
    assert_eq!(visited, out);
    out
}

fn agree(view: &View, model: &Model, range: &KeyRange) {
    for bucket in BUCKETS {
        let want: Vec<_> = model
            .iter()
            .filter(|((b, k), _)| *b == bucket && range.contains(k))
            .map(|((_, k), v)| (k.clone(), v.clone()))
            .collect();
        assert_eq!(listing(view, bucket, range, Direction::Forward), want);
        let mut back = listing(view, bucket, range, Direction::Backward);
        back.reverse();
        assert_eq!(back, want);
        let keys: Vec<_> = (0..40).map(key).collect();
        let values: Vec<_> = keys
            .iter()
            .map(|key| model.get(&(bucket, key.clone())).cloned())
            .collect();
        for (key, value) in keys.iter().zip(&values) {
            assert_eq!(view.get(bucket, key).unwrap(), *value);
        }
        assert_eq!(view.get_many(bucket, &keys).unwrap(), values);
    }
}

proptest! {
    /// Every view shows, at every later time, exactly the model as it was when the view was taken.
    #[test]
    fn every_view_keeps_showing_its_moment(
        steps in steps(), limit in 1..20usize, lo in 0..40u8, hi in 0..40u8,
    ) {
        let options = BackendOptions { batch_limit: limit, ..BackendOptions::manual() };
        let backend = Backend::open(Arc::new(MemoryEngine::new()), options).unwrap();
        let mut model = Model::new();
        let mut views = Vec::new();
        let mut guard = Some(backend.begin());
        for step in steps {
            match step {
                Step::Put(b, k, v) => {
                    let value = Bytes::from(vec![v]);
                    guard.get_or_insert_with(|| backend.begin()).put(BUCKETS[b], key(k), value.clone());
                    model.insert((BUCKETS[b], key(k)), value);
                }
                Step::Delete(b, k) => {
                    guard.get_or_insert_with(|| backend.begin()).delete(BUCKETS[b], key(k));
                    model.remove(&(BUCKETS[b], key(k)));
                }
                Step::End => guard = None,
                Step::Commit => {
                    guard = None;
                    backend.commit_due().unwrap();
                }
                Step::View => {
                    guard = None;
                    views.push((backend.view(), model.clone()));
                }
            }
        }
        drop(guard);
        views.push((backend.view(), model));
        let range = KeyRange::range(key(lo), key(hi));
        for (view, model) in &views {
            agree(view, model, &KeyRange::all());
            agree(view, model, &range);
        }
    }
}

/// A pair of keys is always written together; no reader ever sees them differ, whatever the committer
/// does meanwhile.
#[test]
fn readers_never_see_half_of_a_guard() {
    let options = BackendOptions {
        batch_limit: 7,
        batch_interval: Duration::from_micros(50),
        ..BackendOptions::default()
    };
    let backend = Backend::open(Arc::new(MemoryEngine::new()), options).unwrap();
    let stop = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let view = backend.view();
                    let one = view.get(BUCKETS[0], b"x").unwrap();
                    assert_eq!(one, view.get(BUCKETS[1], b"x").unwrap());
                    let all = listing(&view, BUCKETS[1], &KeyRange::all(), Direction::Forward);
                    // x and one entry per value written so far.
                    let newest = one.map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
                    assert_eq!(all.len() as u64, if newest == 0 { 0 } else { newest + 1 });
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut n = 0u64;
        while n < 500 || checked.load(Ordering::Relaxed) < 50 {
            n += 1;
            let value = Bytes::copy_from_slice(&n.to_be_bytes());
            let mut guard = backend.begin();
            guard.put(BUCKETS[0], Bytes::from_static(b"x"), value.clone());
            guard.put(BUCKETS[1], Bytes::from_static(b"x"), value.clone());
            guard.put(BUCKETS[1], value, Bytes::new());
            guard.end();
        }
        stop.store(true, Ordering::Relaxed);
    });
    backend.close().unwrap();
}
