//! Writing: one transaction at a time, on the apply thread.
//!
//! A put is one step in the index, one encoded record, one insert into the backend's open batch. The
//! transaction's operations reach the backend in one commit, together with the raft index they come
//! from; readers and watchers see them when it ends, all at once.
//!
//! # Failure model
//!
//! There is no rollback, as in etcd: whoever writes checks first (leases, revisions) and then writes. A
//! transaction that is dropped ends with what it did so far.

use bytes::Bytes;
use parking_lot::MutexGuard;
use prost::Message;
use std::ops::ControlFlow;
use varve_backend::{Bucket, Guard};
use varve_proto::leasepb;

use crate::compact::Job;
use crate::core::{Core, Counters, Writer};
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::options::Durability;
use crate::range::{Keys, Query, RangeOptions, RangeResult, Rows, load};
use crate::record;
use crate::revision::{Revision, RowKey};
use crate::schema::{self, KEY, LEASE};
use crate::watch::event::Change;

/// Deleting more keys than this takes long enough to leave readers a picture from before.
const MANY_KEYS: usize = 64;

/// The exclusive writer of a store.
#[derive(Debug)]
pub struct WriteTxn<'a> {
    core: &'a Core,
    // Dropped before the writer's lock, which was taken first.
    guard: Option<Guard<'a>>,
    writer: MutexGuard<'a, Writer>,
    changes: Vec<Change>,
    operations: u32,
    compaction: Option<Job>,
}

impl Rows for Guard<'_> {
    fn row(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.get(KEY, key)?)
    }
}

impl<'a> WriteTxn<'a> {
    pub(crate) fn begin(core: &'a Core) -> Self {
        // Under backpressure this is the disk's time, which a reader who needs the writer's lock for a
        // moment must not wait for.
        core.backend.wait_for_room();
        let writer = core.writer.lock();
        Self {
            core,
            guard: Some(core.backend.begin()),
            writer,
            changes: Vec::new(),
            operations: 0,
            compaction: None,
        }
    }

    fn guard(&mut self) -> &mut Guard<'a> {
        self.guard
            .as_mut()
            .expect("taken only when the transaction ends")
    }

    /// The store's revision before this transaction.
    pub fn revision(&self) -> i64 {
        self.writer.revision
    }

    /// The newest compaction that was accepted, -1 for none.
    pub fn compact_revision(&self) -> i64 {
        self.writer.compacted
    }

    /// The revision of the next change.
    fn next(&self) -> Result<Revision> {
        let main = self.writer.revision.checked_add(1);
        let sub = i64::try_from(self.changes.len()).ok();
        match (main, sub) {
            // One is left for "the revision after the last".
            (Some(main), Some(sub)) if main < i64::MAX => Ok(Revision::new(main, sub)),
            _ => Err(Error::RevisionsExhausted),
        }
    }

    /// Reads a range, this transaction's own writes included.
    pub fn range(&self, options: &RangeOptions) -> Result<RangeResult> {
        Counters::add(&self.core.counters.ranges.0, 1);
        let changed = i64::from(!self.changes.is_empty());
        Query {
            index: &self.writer.index.view(),
            rows: self.guard.as_ref().expect("taken only at the end"),
            revision: self.writer.revision + changed,
            compacted: self.writer.compacted,
        }
        .range(options)
    }

    /// Stores a pair and lets it hang on `lease`, or on none for 0; an earlier lease lets go.
    /// [`Error::EmptyKey`], [`Error::TooLarge`] and [`Error::LeaseNotFound`] leave everything as it was.
    pub fn put(&mut self, key: Bytes, value: Bytes, lease: i64) -> Result<Revision> {
        record::check_size(&key, &value)?;
        let revision = self.next()?;
        self.core.lessor.attach(&key, lease)?;
        let found = self.writer.index.put(&key, revision);
        let stored = record::put(&key, &value, revision, found.created, found.version, lease);
        Counters::add(&self.core.counters.puts, 1);
        let bytes = (key.len() + value.len()) as u64;
        Counters::add(&self.core.counters.put_bytes, bytes);
        self.operations += 1;
        self.change(RowKey::put(revision), key, stored);
        Ok(revision)
    }

    fn change(&mut self, row: RowKey, key: Bytes, stored: Bytes) {
        self.guard().put(KEY, row.encode(), stored.clone());
        self.changes.push(Change { row, key, stored });
    }

    /// Deletes the keys of a range, in the notation of [`RangeOptions::end`]. Returns how many there
    /// were; with none the revision does not move.
    pub fn delete_range(&mut self, key: &Bytes, end: &Bytes) -> Result<i64> {
        self.operations += 1;
        let deleted = match Keys::of(key, end) {
            Keys::One(_) => i64::from(self.delete(key)?),
            Keys::Range(bounds) => {
                let mut keys = Vec::new();
                let view = self.writer.index.view();
                view.visit(bounds, i64::MAX, true, &mut |key, _| {
                    keys.push(Bytes::from(key.to_vec()));
                    ControlFlow::Continue(())
                });
                // While the view lives every change copies its nodes.
                drop(view);
                if self.changes.is_empty() && keys.len() > MANY_KEYS {
                    self.core.publish_ahead(&self.writer);
                }
                let mut deleted = 0;
                for key in keys {
                    deleted += i64::from(self.delete(&key)?);
                }
                deleted
            }
        };
        Counters::add(&self.core.counters.deletes, 1);
        Ok(deleted)
    }

    fn delete(&mut self, key: &Bytes) -> Result<bool> {
        let revision = self.next()?;
        if !self.writer.index.tombstone(key, revision) {
            return Ok(false);
        }
        self.core.lessor.detach(key);
        let stored = record::tombstone(key);
        self.change(RowKey::tombstone(revision), key.clone(), stored);
        Ok(true)
    }

    /// Adds a lease. A time to live below the store's minimum is raised to it.
    /// [`Error::LeaseExists`], [`Error::LeaseTtlTooLarge`]; id 0 is [`Error::LeaseNotFound`].
    pub fn lease_grant(&mut self, id: i64, ttl: i64) -> Result<Lease> {
        let ttl = self.core.lessor.check_grant(id, ttl)?;
        self.put_lease(id, ttl, 0);
        self.core.lessor.grant(id, ttl);
        Ok(Lease { id, ttl })
    }

    fn put_lease(&mut self, id: i64, ttl: i64, remaining_ttl: i64) {
        let message = leasepb::Lease {
            id,
            ttl,
            remaining_ttl,
        };
        let value = message.encode_to_vec().into();
        self.guard().put(LEASE, schema::lease_key(id), value);
    }

    /// Removes a lease and deletes the keys that hang on it, ascending, in this transaction's
    /// revision. [`Error::LeaseNotFound`].
    pub fn lease_revoke(&mut self, id: i64) -> Result<()> {
        self.next()?;
        for key in self.core.lessor.revoke(id)? {
            self.delete(&key)?;
        }
        self.guard().delete(LEASE, schema::lease_key(id));
        Ok(())
    }

    /// Notes the time a lease has left, for the next leader; 0 clears the note. Stored if the lessor
    /// persists checkpoints. An unknown lease is passed over.
    pub fn lease_checkpoint(&mut self, id: i64, remaining_ttl: i64) {
        if let Some(ttl) = self.core.lessor.checkpoint(id, remaining_ttl) {
            self.put_lease(id, ttl, remaining_ttl);
        }
    }

    /// Accepts a compaction: revisions below `revision` can no longer be read, and what only they
    /// could see is removed in the background. [`Error::Compacted`] at or below the last one,
    /// [`Error::FutureRevision`] above the revision before this transaction.
    pub fn compact(&mut self, revision: i64) -> Result<()> {
        if revision <= self.writer.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.writer.revision {
            return Err(Error::FutureRevision);
        }
        let job = Job {
            at: revision,
            previous: self
                .compaction
                .map_or(self.writer.compacted, |j| j.previous),
            resumed: false,
        };
        schema::set_compaction(self.guard(), schema::META_SCHEDULED_COMPACT, revision);
        self.writer.compacted = revision;
        self.compaction = Some(job);
        Ok(())
    }

    /// Notes which raft entry this transaction applies, in the same commit.
    pub fn set_applied(&mut self, index: u64, term: u64) {
        let guard = self.guard();
        schema::set_number(guard, schema::META_CONSISTENT_INDEX, index);
        schema::set_number(guard, schema::META_TERM, term);
        guard.set_tag(index);
    }

    /// Writes a pair of any bucket in the same commit. Keys have 1 to 32768 bytes.
    pub fn put_raw(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        self.guard().put(bucket, key, value);
    }

    /// Deletes a key of any bucket in the same commit.
    pub fn delete_raw(&mut self, bucket: Bucket, key: Bytes) {
        self.guard().delete(bucket, key);
    }

    /// Reads any bucket, own writes included.
    pub fn get_raw(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        let guard = self.guard.as_ref().expect("taken only at the end");
        Ok(guard.get(bucket, key)?)
    }

    /// Number of keys put and deleted so far.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Shows the transaction to readers and watchers; returns the store's revision after it.
    pub fn end(mut self) -> i64 {
        self.finish()
    }

    /// Like [`end`](Self::end), and with [`Durability::Immediate`] waits until the transaction is safe
    /// in the engine. On an error it is visible but may be lost; the backend accepts nothing more.
    pub fn end_with(mut self, durability: Durability) -> Result<i64> {
        let revision = self.finish();
        let core = self.core;
        drop(self);
        if durability == Durability::Immediate {
            core.backend.force_commit()?;
        }
        Ok(revision)
    }

    /// [`end_with`](Self::end_with) [`Durability::Immediate`].
    pub fn end_durable(self) -> Result<i64> {
        self.end_with(Durability::Immediate)
    }

    fn finish(&mut self) -> i64 {
        let Some(guard) = self.guard.take() else {
            return self.writer.revision;
        };
        guard.end();
        if self.operations > 1 {
            Counters::add(&self.core.counters.multi_txns, 1);
        }
        let changed = !self.changes.is_empty();
        self.writer.revision += i64::from(changed);
        if changed || self.compaction.is_some() {
            self.core.publish(&mut self.writer);
        }
        let mut work = false;
        if changed {
            work |= self.tell_watchers();
        }
        if let Some(job) = self.compaction.take() {
            self.core.compactor.push(job);
            work = true;
        }
        if work {
            self.core.signal.notify();
        }
        self.writer.revision
    }

    /// True when a watcher fell behind.
    fn tell_watchers(&mut self) -> bool {
        let changes = std::mem::take(&mut self.changes);
        let writer = &*self.writer;
        let backend = &self.core.backend;
        let mut previous = |change: &Change| {
            let at = change.row.revision.main - 1;
            if at < writer.compacted {
                return Ok(None);
            }
            match writer.index.get(&change.key, at) {
                Some(found) => Ok(Some(load(&backend.view(), found.revision)?)),
                None => Ok(None),
            }
        };
        self.core
            .hub
            .notify(writer.revision, changes, &mut previous)
    }
}

impl Drop for WriteTxn<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
