//! Batches that views outlive: who frees them, and that all are freed.
//!
//! Every value tells a channel on which thread it was freed; the engine keeps copies of its own.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::{
    Backend, BackendOptions, Batch, Bucket, Direction, Engine, Export, KeyRange, MemoryEngine, Op,
    Reclaimed, Result, Sizes, Snapshot, View,
};

const KEY: Bucket = Bucket::new("key");
const COMMITTER: &str = "backend-commit";

/// Long enough for any machine, never waited for in full.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
struct Copying(MemoryEngine);

impl Engine for Copying {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.0.snapshot()
    }
    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut copy = Batch::new();
        for (key, op) in batch.ops(KEY) {
            let key = Bytes::copy_from_slice(key);
            match op {
                Op::Put(value) => copy.put(KEY, key, Bytes::copy_from_slice(value)),
                Op::Delete => copy.delete(KEY, key),
            }
        }
        self.0.commit(&copy)
    }
    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }
    fn export(&self) -> Result<Box<dyn Export>> {
        self.0.export()
    }
    fn reclaim(&self) -> Result<Reclaimed> {
        self.0.reclaim()
    }
}

struct Tracked {
    content: Vec<u8>,
    freed: Sender<String>,
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let thread = std::thread::current();
        // A test that has ended no longer listens.
        drop(
            self.freed
                .send(thread.name().unwrap_or_default().to_owned()),
        );
    }
}

struct Bed {
    backend: Backend,
    freed: Sender<String>,
    frees: Receiver<String>,
}

fn bed(batch_limit: usize) -> Bed {
    let (freed, frees) = channel();
    let options = BackendOptions {
        batch_limit,
        // Only full batches and forced commits reach the engine.
        batch_interval: Duration::from_secs(100_000),
        ..BackendOptions::default()
    };
    let backend = Backend::open(Arc::new(Copying::default()), options).unwrap();
    Bed {
        backend,
        freed,
        frees,
    }
}

impl Bed {
    fn put(&self, key: u8, content: u8) {
        let mut guard = self.backend.begin();
        let value = Bytes::from_owner(Tracked {
            content: vec![content; 3],
            freed: self.freed.clone(),
        });
        guard.put(KEY, Bytes::copy_from_slice(&[key]), value);
    }
}

fn content(view: &View) -> BTreeMap<u8, u8> {
    let mut scan = view
        .scan(KEY, &KeyRange::all(), Direction::Forward)
        .unwrap();
    let mut content = BTreeMap::new();
    while let Some((key, value)) = scan.next().unwrap() {
        assert_eq!(view.get(KEY, &key).unwrap().as_ref(), Some(&value));
        content.insert(key[0], value[0]);
    }
    content
}

#[test]
fn a_reader_who_outlives_its_batch_leaves_it_to_the_next_commit() {
    let bed = bed(1000);
    bed.put(1, 10);
    let view = bed.backend.view();
    bed.backend.force_commit().unwrap();
    assert_eq!(content(&view), BTreeMap::from([(1, 10)]));
    drop(view);
    bed.put(2, 20);
    bed.backend.force_commit().unwrap();
    for _ in 0..2 {
        assert_eq!(bed.frees.recv_timeout(PATIENCE).unwrap(), COMMITTER);
    }
}

#[test]
fn a_backend_at_rest_frees_what_its_readers_left() {
    let bed = bed(1000);
    bed.put(1, 10);
    let view = bed.backend.view();
    bed.backend.force_commit().unwrap();
    drop(view);
    assert_eq!(bed.frees.recv_timeout(PATIENCE).unwrap(), COMMITTER);
}

#[test]
fn a_closed_backend_keeps_no_batch() {
    let bed = bed(1000);
    bed.put(1, 10);
    let view = bed.backend.view();
    bed.backend.close().unwrap();
    assert!(bed.frees.try_recv().is_err(), "the view still reads it");
    assert_eq!(content(&view), BTreeMap::from([(1, 10)]));
    drop(view);
    bed.frees
        .try_recv()
        .expect("nobody but the view held the batch");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    View,
    DropView(u8),
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..30, any::<u8>()).prop_map(|(key, content)| Step::Put(key, content)),
        3 => Just(Step::View),
        2 => any::<u8>().prop_map(Step::DropView),
        1 => Just(Step::Commit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Views are dropped in any order while small batches are committed and freed beside them.
    #[test]
    fn views_stay_exact_and_every_value_is_freed_once(
        steps in prop::collection::vec(step(), 1..300),
        limit in 1usize..12,
    ) {
        let bed = bed(limit);
        let mut model = BTreeMap::new();
        let mut views = Vec::new();
        let mut values = 0;
        for step in steps {
            match step {
                Step::Put(key, content) => {
                    bed.put(key, content);
                    model.insert(key, content);
                    values += 1;
                }
                Step::View => views.push((bed.backend.view(), model.clone())),
                Step::DropView(n) if !views.is_empty() => {
                    let (view, expected) = views.swap_remove(usize::from(n) % views.len());
                    prop_assert_eq!(content(&view), expected);
                }
                Step::DropView(_) => {}
                Step::Commit => bed.backend.force_commit().unwrap(),
            }
        }
        for (view, expected) in views {
            prop_assert_eq!(content(&view), expected);
        }
        let Bed { backend, freed, frees } = bed;
        drop((backend, freed));
        let told = std::iter::from_fn(|| frees.recv_timeout(PATIENCE).ok());
        prop_assert_eq!(told.count(), values);
    }
}
