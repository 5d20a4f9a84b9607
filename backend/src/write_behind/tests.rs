use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel as channel;
use parking_lot::Mutex;

use super::{Backend, BackendOptions};
use crate::{
    Batch, Bucket, Direction, Engine, Error, Export, KeyRange, MemoryEngine, Reclaimed, Result,
    Sizes, Snapshot,
};

const KEY: Bucket = Bucket::new("key");
const META: Bucket = Bucket::new("meta");

fn b(n: usize) -> Bytes {
    Bytes::from(format!("{n:06}"))
}

fn put(backend: &Backend, n: usize) {
    let mut guard = backend.begin();
    guard.put(KEY, b(n), b(n));
    guard.end();
}

fn manual(limit: usize) -> (Arc<MemoryEngine>, Backend) {
    let engine = Arc::new(MemoryEngine::new());
    let options = BackendOptions {
        batch_limit: limit,
        ..BackendOptions::manual()
    };
    let backend = Backend::open(Arc::clone(&engine) as Arc<dyn Engine>, options).unwrap();
    (engine, backend)
}

/// An engine whose commits wait for permission, so that a test decides what happens meanwhile.
#[derive(Debug)]
struct Gate {
    inner: MemoryEngine,
    entered: channel::Sender<usize>,
    permits: Mutex<channel::Receiver<()>>,
}

impl Engine for Gate {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.inner.snapshot()
    }
    fn commit(&self, batch: &Batch) -> Result<()> {
        self.entered.send(batch.len()).unwrap();
        self.permits.lock().recv().unwrap();
        self.inner.commit(batch)
    }
    fn sizes(&self) -> Sizes {
        self.inner.sizes()
    }
    fn export(&self) -> Result<Box<dyn Export>> {
        self.inner.export()
    }
    fn reclaim(&self) -> Result<Reclaimed> {
        self.inner.reclaim()
    }
}

fn gated(limit: usize) -> (Backend, channel::Receiver<usize>, channel::Sender<()>) {
    let (entered, enters) = channel::unbounded();
    let (permit, permits) = channel::unbounded();
    let engine = Gate {
        inner: MemoryEngine::new(),
        entered,
        permits: Mutex::new(permits),
    };
    // An interval nobody waits for: only full batches and forced commits reach the engine.
    let options = BackendOptions {
        batch_limit: limit,
        batch_interval: Duration::from_secs(100_000),
        ..BackendOptions::default()
    };
    (
        Backend::open(Arc::new(engine), options).unwrap(),
        enters,
        permit,
    )
}

#[test]
fn a_view_sees_what_ended_before_it_and_nothing_after() {
    let (_, backend) = manual(100);
    put(&backend, 1);
    let old = backend.view();
    let mut guard = backend.begin();
    guard.delete(KEY, b(1));
    guard.put(KEY, b(2), b(2));
    assert_eq!(guard.get(KEY, &b(1)).unwrap(), None);
    assert_eq!(
        guard
            .scan(KEY, &KeyRange::all(), Direction::Forward)
            .unwrap(),
        [(b(2), b(2))]
    );
    assert_eq!(
        backend.view().get(KEY, &b(2)).unwrap(),
        None,
        "the guard is still open"
    );
    guard.end();
    let new = backend.view();
    for _ in 0..2 {
        assert_eq!(old.get(KEY, &b(1)).unwrap(), Some(b(1)));
        assert_eq!(old.get(KEY, &b(2)).unwrap(), None);
        assert_eq!(new.get(KEY, &b(1)).unwrap(), None);
        assert_eq!(new.get(KEY, &b(2)).unwrap(), Some(b(2)));
        let mut shown = None;
        let mut look = |value: &[u8]| shown = Some(Bytes::copy_from_slice(value));
        assert!(new.get_with(KEY, &b(2), &mut look).unwrap());
        assert!(!new.get_with(KEY, &b(1), &mut look).unwrap());
        assert_eq!(shown, Some(b(2)));
        // The same again with everything in the engine.
        backend.force_commit().unwrap();
    }
}

#[test]
fn latest_values_replace_in_place() {
    let (engine, backend) = manual(10);
    for n in 0..1000 {
        let mut guard = backend.begin();
        guard.put_latest(META, Bytes::from_static(b"consistent_index"), b(n));
        guard.end();
    }
    assert!(
        !engine.snapshot().unwrap().has_bucket(META).unwrap(),
        "one operation, not a thousand"
    );
    let seen = backend.view().get(META, b"consistent_index").unwrap();
    assert_eq!(seen, Some(b(999)));
    backend.force_commit().unwrap();
    assert_eq!(
        engine
            .snapshot()
            .unwrap()
            .get(META, b"consistent_index")
            .unwrap(),
        Some(b(999))
    );
}

#[test]
fn tags_become_durable_with_their_operations() {
    let (_, backend) = manual(100);
    let mut guard = backend.begin();
    guard.put(KEY, b(1), b(1));
    guard.set_tag(7);
    guard.end();
    assert_eq!(backend.durable_tag(), 0);
    backend.force_commit().unwrap();
    assert_eq!(backend.durable_tag(), 7);
    // Nothing to write: as durable as what came before.
    let mut guard = backend.begin();
    guard.set_tag(9);
    guard.end();
    assert_eq!(backend.durable_tag(), 9);
}

#[test]
fn a_full_batch_is_committed_without_waiting_for_the_interval() {
    let (backend, enters, permit) = gated(3);
    (0..3).for_each(|n| put(&backend, n));
    assert_eq!(enters.recv().unwrap(), 3);
    permit.send(()).unwrap();
    backend.force_commit().unwrap();
    backend.close().unwrap();
}

#[test]
fn writes_and_views_go_on_while_a_commit_runs() {
    let (backend, enters, permit) = gated(3);
    (0..3).for_each(|n| put(&backend, n));
    enters.recv().unwrap();
    // The first batch is stuck in the engine; the second fills beside it.
    put(&backend, 3);
    let view = backend.view();
    assert_eq!(
        (0..4)
            .filter(|n| view.get(KEY, &b(*n)).unwrap().is_some())
            .count(),
        4
    );
    permit.send(()).unwrap();
    permit.send(()).unwrap();
    backend.force_commit().unwrap();
    assert_eq!(enters.recv().unwrap(), 1);
    let mut scan = view
        .scan(KEY, &KeyRange::all(), Direction::Backward)
        .unwrap();
    for n in (0..4).rev() {
        assert_eq!(scan.next().unwrap(), Some((b(n), b(n))));
    }
    assert_eq!(scan.next().unwrap(), None);
    drop(scan);
    backend.close().unwrap();
}

#[test]
fn the_writer_waits_when_four_batches_are_behind() {
    let (backend, enters, permit) = gated(1);
    put(&backend, 0);
    enters.recv().unwrap();
    // Batch 0 is in the engine; four more fit, then 5 > 4 * 1 are frozen and begin() has to wait.
    (1..5).for_each(|n| put(&backend, n));
    let (progress, seen) = channel::unbounded();
    let writer = std::thread::spawn({
        let backend = backend.clone();
        move || {
            progress.send("waiting").unwrap();
            put(&backend, 5);
            progress.send("written").unwrap();
        }
    });
    assert_eq!(seen.recv().unwrap(), "waiting");
    assert!(seen.try_recv().is_err());
    permit.send(()).unwrap();
    permit.send(()).unwrap();
    permit.send(()).unwrap();
    assert_eq!(seen.recv().unwrap(), "written");
    writer.join().unwrap();
    backend.force_commit().unwrap();
    assert_eq!(backend.commit_stats().ops, 6);
    backend.close().unwrap();
}

#[test]
fn a_manual_writer_under_backpressure_commits_itself() {
    let (engine, backend) = manual(1);
    (0..100).for_each(|n| put(&backend, n));
    assert!(backend.commit_stats().commits > 0);
    backend.force_commit().unwrap();
    assert_eq!(
        engine.snapshot().unwrap().get(KEY, &b(99)).unwrap(),
        Some(b(99))
    );
}

/// What fills it is committed by whoever comes next, and not before.
#[test]
fn a_backend_without_room_makes_the_next_writer_wait() {
    let (_engine, backend) = manual(1);
    let mut puts = 0..1000;
    while backend.has_room() {
        assert_eq!(backend.commit_stats().commits, 0);
        put(&backend, puts.next().expect("there is a limit"));
    }
    assert_eq!(backend.commit_stats().commits, 0);
    put(&backend, 0);
    assert_eq!(backend.commit_stats().commits, 1);
    assert!(backend.has_room());
}

#[test]
fn the_interval_commits_what_nobody_forces() {
    let engine = Arc::new(MemoryEngine::new());
    let options = BackendOptions {
        batch_interval: Duration::from_millis(1),
        ..BackendOptions::default()
    };
    let backend = Backend::open(Arc::clone(&engine) as Arc<dyn Engine>, options).unwrap();
    let (durable, tags) = channel::unbounded();
    backend.on_durable(Box::new(move |tag| durable.send(tag).unwrap()));
    for round in 1..4 {
        let mut guard = backend.begin();
        guard.put(KEY, b(1), b(1));
        guard.set_tag(round);
        guard.end();
        assert_eq!(tags.recv().unwrap(), round);
    }
    assert!(
        engine
            .snapshot()
            .unwrap()
            .get(KEY, &b(1))
            .unwrap()
            .is_some()
    );
    backend.close().unwrap();
}

#[test]
fn a_failed_commit_is_reported_to_everybody_and_forever() {
    let engine = Arc::new(MemoryEngine::new());
    engine.fail_next_commit(Error::io("sync", "db", std::io::Error::other("gone")));
    let (failed, failures) = channel::unbounded();
    let options = BackendOptions {
        on_failure: Some(Arc::new(move |e: &Error| {
            failed.send(e.to_string()).unwrap();
        })),
        ..BackendOptions::default()
    };
    let backend = Backend::open(Arc::clone(&engine) as Arc<dyn Engine>, options).unwrap();
    put(&backend, 1);
    let error = backend.force_commit().unwrap_err();
    assert!(error.is_io());
    assert_eq!(failures.recv().unwrap(), error.to_string());
    assert!(backend.failure().unwrap().is_io());
    put(&backend, 2);
    assert!(backend.force_commit().unwrap_err().is_io());
    assert_eq!(
        backend.view().get(KEY, &b(1)).unwrap(),
        Some(b(1)),
        "views go on"
    );
    assert_eq!(backend.durable_tag(), 0);
    assert!(backend.close().unwrap_err().is_io());
}

#[test]
fn closing_commits_and_then_refuses() {
    let engine = Arc::new(MemoryEngine::new());
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let backend = Backend::open(shared, BackendOptions::default()).unwrap();
    put(&backend, 1);
    backend.close().unwrap();
    backend.close().unwrap();
    assert!(
        engine
            .snapshot()
            .unwrap()
            .get(KEY, &b(1))
            .unwrap()
            .is_some()
    );
    assert!(backend.force_commit().unwrap_err().is_closed());
}

#[test]
fn dropping_the_last_clone_commits() {
    let engine = Arc::new(MemoryEngine::new());
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let backend = Backend::open(shared, BackendOptions::default()).unwrap();
    put(&backend, 1);
    drop(backend);
    assert!(
        engine
            .snapshot()
            .unwrap()
            .get(KEY, &b(1))
            .unwrap()
            .is_some()
    );
}

#[test]
fn another_engine_takes_over_and_old_views_stay() {
    let (_, backend) = manual(100);
    put(&backend, 1);
    backend.force_commit().unwrap();
    put(&backend, 2);
    let old = backend.view();
    let other = Arc::new(MemoryEngine::new());
    let mut batch = Batch::new();
    batch.put(KEY, b(3), b(3));
    other.commit(&batch).unwrap();
    backend
        .swap_engine(Arc::clone(&other) as Arc<dyn Engine>)
        .unwrap();
    let new = backend.view();
    for n in 1..4 {
        assert_eq!(old.get(KEY, &b(n)).unwrap().is_some(), n < 3);
        assert_eq!(new.get(KEY, &b(n)).unwrap().is_some(), n == 3);
    }
    put(&backend, 4);
    backend.force_commit().unwrap();
    assert!(other.snapshot().unwrap().get(KEY, &b(4)).unwrap().is_some());
    assert_eq!(
        other.snapshot().unwrap().get(KEY, &b(2)).unwrap(),
        None,
        "pending was dropped"
    );
}

#[test]
fn a_waiter_of_a_dropped_batch_learns_of_it() {
    let (backend, enters, permit) = gated(1);
    put(&backend, 1);
    enters.recv().unwrap();
    let waiter = std::thread::spawn({
        let backend = backend.clone();
        move || backend.force_commit()
    });
    permit.send(()).unwrap();
    // The batch was in the engine's hands before the change: it counts as committed or as dropped,
    // but the waiter does not sleep for ever.
    backend.swap_engine(Arc::new(MemoryEngine::new())).unwrap();
    let outcome = waiter.join().unwrap();
    assert!(outcome.is_ok() || outcome.unwrap_err().to_string().starts_with("dropped"));
    backend.close().unwrap();
}

#[test]
fn buckets_appear_with_their_guard() {
    let (_, backend) = manual(100);
    let before = backend.view();
    let mut guard = backend.begin();
    guard.create_bucket(META);
    guard.delete(KEY, b(1));
    guard.end();
    assert!(!before.has_bucket(META).unwrap());
    assert_eq!(backend.view().buckets().unwrap(), ["meta"]);
    backend.force_commit().unwrap();
    assert_eq!(backend.view().buckets().unwrap(), ["meta"]);
    assert!(before.buckets().unwrap().is_empty());
}
