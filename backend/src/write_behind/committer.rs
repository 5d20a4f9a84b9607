//! Moving frozen batches into the engine.
//!
//! Runs on the thread "backend-commit", or on the caller's thread of a manual backend. An idle backend
//! does not wake it: it parks until the first operation of a batch sets a deadline, and frees at most once
//! what views still read when it parked.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::MutexGuard;

use super::{BACKPRESSURE_FACTOR, CommitStats, Frozen, Layer, Published, Queue, Shared, Writer};
use crate::{Batch, Error, ErrorKind, Result};

pub(super) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("backend-commit".into())
        .spawn(move || {
            let guard = PanicGuard(shared);
            guard.0.run();
        })
        .map_err(|source| Error::io("start thread", "backend-commit", source))
}

/// A callback or engine that panics on the committer must not leave its waiters asleep.
struct PanicGuard(Arc<Shared>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = ErrorKind::Engine("the committer thread panicked".into());
            self.0
                .queue
                .lock()
                .failure
                .get_or_insert_with(|| error.into());
            self.0.done.notify_all();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut queue = self.queue.lock();
        while !queue.stop {
            if queue.failure.is_some() {
                self.wake.wait(&mut queue);
                continue;
            }
            if !queue.frozen.is_empty() {
                // Its error is kept in the queue, where all who wait for it look.
                drop(MutexGuard::unlocked(&mut queue, || self.commit_frozen()));
                continue;
            }
            let batch = queue.deadline;
            let retired = self.retired.lock().due();
            let Some(next) = batch.into_iter().chain(retired).min() else {
                self.wake.wait(&mut queue);
                continue;
            };
            let now = Instant::now();
            if now < next {
                self.wake.wait_until(&mut queue, next);
            } else if batch.is_some_and(|due| due <= now) {
                MutexGuard::unlocked(&mut queue, || self.freeze_now());
            } else {
                MutexGuard::unlocked(&mut queue, || self.free_retired());
            }
        }
        drop(queue);
        let left = std::mem::take(&mut *self.retired.lock());
        drop(left);
    }

    /// Frees committed batches that no view reads any more.
    fn free_retired(&self) {
        let gone = self.retired.lock().sweep(Instant::now(), &self.options);
        drop(gone);
    }

    /// Closes the open batch and puts an empty one in its place, unless it is empty.
    pub(super) fn freeze(&self, writer: &mut Writer) {
        if writer.ops == 0 && writer.tag <= writer.frozen_tag {
            return;
        }
        writer.generation += 1;
        let mut queue = self.queue.lock();
        queue.deadline = None;
        let mut published = self.published.write();
        let layer = Arc::clone(&published.0.layers[0]);
        let mut layers = Vec::with_capacity(published.0.layers.len() + 1);
        layers.push(Arc::new(Layer::default()));
        layers.extend(published.0.layers.iter().cloned());
        let snapshot = Arc::clone(&published.0.snapshot);
        published.0 = Arc::new(Published { layers, snapshot });
        drop(published);
        queue.frozen.push(Frozen {
            layer,
            ops: writer.ops,
            bytes: writer.bytes,
            tag: writer.tag,
            generation: writer.generation,
        });
        writer.frozen_tag = writer.tag;
        writer.ops = 0;
        writer.bytes = 0;
    }

    /// Freezes as soon as no guard is open; returns the generation that contains everything ended so
    /// far.
    pub(super) fn freeze_now(&self) -> u64 {
        let mut writer = self.writer.lock();
        self.freeze(&mut writer);
        writer.generation
    }

    pub(super) fn force_commit(&self) -> Result<()> {
        let wanted = self.freeze_now();
        if self.options.manual {
            self.commit_frozen()?;
        }
        self.wake.notify_one();
        let mut queue = self.queue.lock();
        loop {
            if let Some(error) = &queue.failure {
                return Err(error.clone());
            }
            if queue.committed >= wanted {
                let dropped = queue.dropped.contains(&wanted);
                return if dropped {
                    Err(ErrorKind::Superseded.into())
                } else {
                    Ok(())
                };
            }
            if queue.stop {
                return Err(ErrorKind::Closed.into());
            }
            self.done.wait(&mut queue);
        }
    }

    /// Whether less than the backpressure limit is frozen.
    pub(super) fn has_room(&self) -> bool {
        !self.is_full(&self.queue.lock())
    }

    fn is_full(&self, queue: &Queue) -> bool {
        let options = &self.options;
        let ops: usize = queue.frozen.iter().map(|f| f.ops).sum();
        let bytes: usize = queue.frozen.iter().map(|f| f.bytes).sum();
        ops > options.batch_limit.saturating_mul(BACKPRESSURE_FACTOR)
            || bytes > options.batch_bytes.saturating_mul(BACKPRESSURE_FACTOR)
    }

    /// Waits until less than the backpressure limit is frozen.
    pub(super) fn wait_for_room(&self) {
        let mut queue = self.queue.lock();
        while queue.failure.is_none() && !queue.stop && self.is_full(&queue) {
            if self.options.manual {
                // There is no thread to wait for; its error is kept in the queue.
                drop(MutexGuard::unlocked(&mut queue, || self.commit_frozen()));
            } else {
                self.done.wait(&mut queue);
            }
        }
    }

    /// Commits all frozen batches as one. Returns whether there were any.
    pub(super) fn commit_frozen(&self) -> Result<bool> {
        let commit = self.commit.lock();
        let work: Vec<Frozen> = {
            let queue = self.queue.lock();
            if let Some(error) = &queue.failure {
                return Err(error.clone());
            }
            queue.frozen.clone()
        };
        let Some(generation) = work.last().map(|newest| newest.generation) else {
            return Ok(false);
        };
        let mut batch = Batch::new();
        for frozen in &work {
            frozen.layer.append_to(&mut batch);
        }
        let engine = Arc::clone(&self.engine.read());
        let began = Instant::now();
        let outcome = if batch.is_empty() {
            Ok(())
        } else {
            engine.commit(&batch)
        };
        let duration = began.elapsed();
        let snapshot = match outcome.and_then(|()| engine.snapshot()) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.queue.lock().failure = Some(error.clone());
                self.done.notify_all();
                drop(commit);
                if let Some(report) = &self.options.on_failure {
                    report(&error);
                }
                return Err(error);
            }
        };
        let tag = {
            let mut queue = self.queue.lock();
            self.publish(snapshot, work.len());
            // The guard may have raised the tag of the newest batch meanwhile.
            let tag = queue.frozen[work.len() - 1].tag;
            queue.frozen.drain(..work.len());
            queue.committed = generation;
            queue.counts.commits += 1;
            queue.counts.ops += batch.len() as u64;
            queue.counts.bytes += batch.bytes() as u64;
            self.durable_tag.fetch_max(tag, Ordering::AcqRel);
            tag
        };
        self.done.notify_all();
        drop(commit);
        self.report(&CommitStats {
            ops: batch.len(),
            bytes: batch.bytes(),
            duration,
            durable_tag: tag,
        });
        drop(batch);
        if !self.options.manual {
            self.retired.lock().add(work, Instant::now());
            self.free_retired();
        }
        Ok(true)
    }

    /// Views from here on read the engine's newest snapshot; it holds exactly the batches that were
    /// committed, because no commit runs meanwhile.
    pub(super) fn refresh_snapshot(&self) -> Result<()> {
        let commit = self.commit.lock();
        let snapshot = self.engine.read().snapshot()?;
        self.publish(snapshot, 0);
        drop(commit);
        Ok(())
    }

    /// The oldest `count` layers are in this snapshot.
    fn publish(&self, snapshot: Arc<dyn crate::Snapshot>, count: usize) {
        let mut published = self.published.write();
        let mut layers = published.0.layers.clone();
        layers.truncate(layers.len() - count);
        let fresh = Arc::new(Published { layers, snapshot });
        let old = std::mem::replace(&mut published.0, fresh);
        drop(published);
        // It may be the last holder of a snapshot: not while readers wait.
        drop(old);
    }

    fn report(&self, stats: &CommitStats) {
        let callbacks = self.on_durable.lock().clone();
        for callback in callbacks {
            callback(stats.durable_tag);
        }
        if let Some(callback) = &self.options.on_commit {
            callback(*stats);
        }
    }
}
