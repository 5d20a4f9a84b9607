//! The contract of an engine as tests (feature `conformance`).
//!
//! An engine's crate implements [`TestBed`] and calls [`run_all`] from one of its tests. Each guarantee
//! of the crate documentation has a function of its number; a failure panics with the guarantee's name.
#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step is a failed test"
)]
use std::sync::Arc;

use bytes::Bytes;

use crate::{Batch, Bucket, Direction, Engine, KeyRange, MemoryEngine, Snapshot};

mod guarantees;

/// What the suite needs to know of an engine.
pub trait TestBed {
    /// The engine under test, empty when it is asked for the first time. The suite drops all it got
    /// before it asks again.
    fn open(&mut self) -> Arc<dyn Engine>;

    /// Whether what was committed is there when the engine is opened again.
    fn is_persistent(&self) -> bool;

    /// Loses power: everything not durable is gone, and `open` starts from what is left. Not called
    /// unless the engine is persistent.
    fn lose_power(&mut self);

    /// Makes the next commit of the open engine fail in its storage.
    fn break_next_commit(&mut self, engine: &Arc<dyn Engine>);

    /// Opens an exported image, if this bed knows how.
    fn import(&mut self, image: Vec<u8>) -> Option<Arc<dyn Engine>>;
}

/// One guarantee: its name and its test.
pub type Guarantee = (&'static str, fn(&mut dyn TestBed));

/// All guarantees in the order of the crate documentation.
pub const GUARANTEES: &[Guarantee] = guarantees::ALL;

/// Runs every guarantee on a bed of its own.
pub fn run_all(mut make: impl FnMut() -> Box<dyn TestBed>) {
    for (name, test) in GUARANTEES {
        let mut bed = make();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut *bed)));
        assert!(
            outcome.is_ok(),
            "guarantee {name} does not hold (see the panic above)"
        );
    }
}

/// Everything a snapshot shows, read forward; also checks that reading backward shows the same.
fn listing(snapshot: &dyn Snapshot) -> Vec<(Bytes, Vec<(Bytes, Bytes)>)> {
    let mut all = Vec::new();
    for name in snapshot.buckets().unwrap() {
        let forward = pairs(snapshot, &name, &KeyRange::all(), Direction::Forward);
        let mut backward = pairs(snapshot, &name, &KeyRange::all(), Direction::Backward);
        backward.reverse();
        assert_eq!(forward, backward);
        // Copies: values may borrow from the engine, and the suite compares across openings.
        let copy = |b: Bytes| Bytes::copy_from_slice(&b);
        all.push((
            copy(name),
            forward
                .into_iter()
                .map(|(k, v)| (copy(k), copy(v)))
                .collect(),
        ));
    }
    all
}

fn pairs(
    snapshot: &dyn Snapshot,
    name: &[u8],
    range: &KeyRange,
    direction: Direction,
) -> Vec<(Bytes, Bytes)> {
    let mut scan = snapshot.scan_bucket_name(name, range, direction).unwrap();
    let mut out = Vec::new();
    while let Some(pair) = scan.next().unwrap() {
        out.push(pair);
    }
    assert_eq!(scan.next().unwrap(), None, "a scan that ended stays ended");
    out
}

/// Reproducible numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn bytes(&mut self, limit: u64) -> Bytes {
        let len = usize::try_from(self.below(limit)).unwrap();
        let fill = u8::try_from(self.below(256)).unwrap();
        Bytes::from(vec![fill; len])
    }
}

/// A batch of random operations on two buckets.
fn random_batch(numbers: &mut Numbers) -> Batch {
    const BUCKETS: [Bucket; 2] = [Bucket::new("one"), Bucket::new("two")];
    let mut batch = Batch::new();
    for _ in 0..numbers.below(40) {
        let bucket = BUCKETS[usize::try_from(numbers.below(2)).unwrap()];
        let key = Bytes::from(format!("key{:04}", numbers.below(500)));
        match numbers.below(50) {
            0 => batch.delete_bucket(bucket),
            1 => batch.create_bucket(bucket),
            2..32 => {
                let limit = if numbers.below(30) == 0 { 9000 } else { 120 };
                let value = numbers.bytes(limit);
                batch.put(bucket, key, value);
            }
            _ => batch.delete(bucket, key),
        }
    }
    batch
}

/// Commits the same random batches to the engine and to a model, which must agree after each.
fn agree_with_model(engine: &Arc<dyn Engine>, seed: u64, rounds: u64) -> MemoryEngine {
    let model = MemoryEngine::new();
    let mut numbers = Numbers(seed);
    for round in 0..rounds {
        let batch = random_batch(&mut numbers);
        engine.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        if round % 5 == 4 {
            let ours = listing(&*engine.snapshot().unwrap());
            assert_eq!(ours, listing(&*model.snapshot().unwrap()));
        }
    }
    model
}
