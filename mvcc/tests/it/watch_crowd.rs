//! Ten thousand watchers of one prefix, some of which stop listening; and where laggards read from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use varve_backend::{
    Batch, Bucket, Direction, Engine, Export, KeyRange, MemoryEngine, Reclaimed, Scan, Sizes,
    Snapshot,
};
use varve_mvcc::{
    Store, StoreOptions, WatchItem, WatchLimits, WatchOptions, WatchStream, prefix_end, schema,
};

use crate::support::{event, manual_options, open_on, owned, put, stream};

const WATCHERS: usize = 10_000;
const STALLED: usize = 100;
const QUEUE_BYTES: usize = 2 << 10;
const RECENT_BYTES: usize = 8 << 10;
const ROUNDS: i64 = 40;

fn pods() -> WatchOptions {
    let key = Bytes::from_static(b"/registry/pods/");
    WatchOptions {
        end: prefix_end(&key),
        key,
        ..WatchOptions::default()
    }
}

/// Changes of a round, which is one transaction: always the same number of bytes.
fn change(store: &Store, round: i64) -> i64 {
    let mut txn = store.write();
    for part in 0..=round % 3 {
        let key = Bytes::from(format!("/registry/pods/{:02}-{part}", round % 7));
        txn.put(key, Bytes::from(vec![b'v'; 60]), 0).unwrap();
    }
    txn.end()
}

/// What a watcher has been told: it checks order as it goes.
#[derive(Clone)]
struct Told {
    /// Revision it must be told of next.
    next: i64,
}

impl Told {
    fn take(&mut self, stream: &WatchStream) {
        for item in stream.drain(usize::MAX) {
            let WatchItem::Events { events, .. } = item else {
                panic!("only events: {item:?}");
            };
            let mut left = events.as_slice();
            while let Some(first) = left.first() {
                assert_eq!(event(first).kv.unwrap().mod_revision, self.next);
                // All of the revision, in this item, by sub-revision.
                let count = usize::try_from(1 + (self.next - 2) % 3).unwrap();
                let (revision, rest) = left.split_at(count);
                for (part, encoded) in revision.iter().enumerate() {
                    let kv = event(encoded).kv.unwrap();
                    assert_eq!(kv.mod_revision, self.next);
                    assert!(kv.key.ends_with(format!("-{part}").as_bytes()));
                }
                left = rest;
                self.next += 1;
            }
        }
    }
}

#[test]
fn ten_thousand_watchers_are_told_everything_once_in_order_while_a_hundred_stall() {
    let options = StoreOptions {
        watch: WatchLimits {
            queue_bytes: QUEUE_BYTES,
            recent_bytes: RECENT_BYTES,
            ..WatchLimits::default()
        },
        ..manual_options()
    };
    let store = open_on(Arc::new(MemoryEngine::new()), options);
    let streams: Vec<WatchStream> = (0..WATCHERS)
        .map(|_| {
            let stream = stream(&store);
            stream.watch(pods()).unwrap();
            stream
        })
        .collect();
    let mut told = vec![Told { next: 2 }; WATCHERS];
    let mut most = 0;
    for round in 0..ROUNDS {
        let revision = change(&store, round);
        // Those who listen are told by the writer, at once.
        for (stream, told) in streams.iter().zip(&mut told).skip(STALLED) {
            told.take(stream);
            assert_eq!(told.next, revision + 1);
        }
        // Catching up is tried all the time, and must not fill the queues of those who do not listen.
        store.step_watchers();
        most = most.max(store.stats().watch_bytes);
    }
    // Now only the stalled ones have anything in their queues.
    assert_eq!(store.stats().slow_watchers, STALLED);
    assert!(
        most <= STALLED * QUEUE_BYTES + RECENT_BYTES,
        "{most} bytes wait"
    );
    // Nobody would have been bounded if the queues were large enough for everything.
    assert!(most > STALLED * QUEUE_BYTES / 2);
    for (stream, told) in streams.iter().zip(&mut told).take(STALLED) {
        assert!(told.next < store.revision());
        while told.next <= store.revision() {
            told.take(stream);
            store.step_watchers();
        }
    }
    assert_eq!(store.stats().slow_watchers, 0);
    change(&store, ROUNDS);
    for (stream, told) in streams.iter().zip(&mut told) {
        told.take(stream);
        assert_eq!(told.next, store.revision() + 1);
    }
}

/// Counts the scans of bucket `key` that reach the engine.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryEngine,
    scans: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountingSnapshot(Arc<dyn Snapshot>, Arc<AtomicUsize>);

impl Engine for Counting {
    fn snapshot(&self) -> varve_backend::Result<Arc<dyn Snapshot>> {
        let scans = Arc::clone(&self.scans);
        Ok(Arc::new(CountingSnapshot(self.inner.snapshot()?, scans)))
    }
    fn commit(&self, batch: &Batch) -> varve_backend::Result<()> {
        self.inner.commit(batch)
    }
    fn sizes(&self) -> Sizes {
        self.inner.sizes()
    }
    fn export(&self) -> varve_backend::Result<Box<dyn Export>> {
        self.inner.export()
    }
    fn reclaim(&self) -> varve_backend::Result<Reclaimed> {
        self.inner.reclaim()
    }
}

impl Snapshot for CountingSnapshot {
    fn buckets(&self) -> varve_backend::Result<Vec<Bytes>> {
        self.0.buckets()
    }
    fn has_bucket(&self, bucket: Bucket) -> varve_backend::Result<bool> {
        self.0.has_bucket(bucket)
    }
    fn get(&self, bucket: Bucket, key: &[u8]) -> varve_backend::Result<Option<Bytes>> {
        self.0.get(bucket, key)
    }
    fn scan_bucket_name(
        &self,
        name: &[u8],
        range: &KeyRange,
        direction: Direction,
    ) -> varve_backend::Result<Box<dyn Scan + '_>> {
        if name == schema::KEY.as_bytes() {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        self.0.scan_bucket_name(name, range, direction)
    }
}

#[test]
fn a_watcher_a_little_behind_reads_no_history_and_one_further_back_does() {
    let engine = Counting::default();
    let scans = Arc::clone(&engine.scans);
    let options = StoreOptions {
        watch: WatchLimits {
            queue_bytes: 300,
            recent_bytes: 4 << 10,
            ..WatchLimits::default()
        },
        ..manual_options()
    };
    let store = open_on(Arc::new(engine), options);
    let stream = stream(&store);
    let options = WatchOptions {
        key: owned("k"),
        prev_kv: true,
        ..WatchOptions::default()
    };
    stream.watch(options).unwrap();
    let before = scans.load(Ordering::Relaxed);
    let mut next = 2;
    let mut catch_up = |store: &Store| {
        while next <= store.revision() {
            for item in stream.drain(usize::MAX) {
                let WatchItem::Events { events, .. } = item else {
                    panic!("only events: {item:?}");
                };
                for encoded in events {
                    let event = event(&encoded);
                    let (kv, previous) = (event.kv.unwrap(), event.prev_kv);
                    assert_eq!(kv.mod_revision, next);
                    assert_eq!(previous.map_or(1, |kv| kv.mod_revision), next - 1);
                    next += 1;
                }
            }
            store.step_watchers();
        }
    };
    for n in 0..10 {
        put(&store, "k", &n.to_string());
    }
    assert_eq!(store.stats().slow_watchers, 1);
    catch_up(&store);
    assert_eq!(scans.load(Ordering::Relaxed), before);
    for n in 0..200 {
        put(&store, "k", &n.to_string());
    }
    assert!(store.stats().watch_bytes <= 300 + (4 << 10));
    catch_up(&store);
    assert!(scans.load(Ordering::Relaxed) > before);
}
