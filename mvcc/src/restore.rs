//! Opening: from the rows of a backend to an index, leases and the compaction state.
//!
//! Called by whoever opens a store or is about to replace its content, before anybody reads.

use std::sync::Arc;

use prost::Message;
use varve_backend::{Backend, BackendOptions, Direction, Engine, KeyRange, View};
use varve_proto::leasepb;

use crate::compact::Job;
use crate::core::Writer;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::key_history::Entry;
use crate::lease::Lessor;
use crate::options::StoreOptions;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::schema::{self, ALL_BUCKETS, KEY, LEASE};

/// Revision of a store nothing was ever written to.
const FIRST_REVISION: i64 = 1;
/// Compaction revision of a store that was never compacted.
pub(crate) const NEVER: i64 = -1;

/// What a backend holds.
pub(crate) struct Restored {
    pub writer: Writer,
    pub lessor: Lessor,
    /// Newest compaction whose rows are gone.
    pub finished: i64,
    /// A compaction that was accepted and not finished.
    pub resume: Option<Job>,
}

impl Restored {
    /// Reads an engine that nobody uses yet, and creates in it what is missing.
    pub(crate) fn of_engine(engine: Arc<dyn Engine>, options: &StoreOptions) -> Result<Self> {
        let backend = Backend::open(engine, BackendOptions::manual())?;
        let restored = restore(&backend, options)?;
        // The backend it will serve behind knows nothing of what this one holds.
        backend.force_commit()?;
        Ok(restored)
    }
}

/// Creates the buckets that are missing and reads everything else.
pub(crate) fn restore(backend: &Backend, options: &StoreOptions) -> Result<Restored> {
    create_buckets(backend)?;
    let view = backend.view();
    let lessor = Lessor::new(options);
    restore_leases(&view, &lessor)?;
    let (index, newest) = restore_index(&view, &lessor)?;
    let finished = schema::finished_compaction(&view)?.unwrap_or(NEVER);
    let scheduled = schema::scheduled_compaction(&view)?.unwrap_or(NEVER);
    // All rows may be gone, the newest included; the revision does not go back for that.
    let revision = newest.max(finished).max(scheduled).max(FIRST_REVISION);
    let resume = (scheduled > finished).then_some(Job {
        at: scheduled,
        previous: finished,
        resumed: true,
    });
    Ok(Restored {
        writer: Writer {
            index,
            revision,
            compacted: finished.max(scheduled),
            epoch: 0,
        },
        lessor,
        finished,
        resume,
    })
}

fn create_buckets(backend: &Backend) -> Result<()> {
    let view = backend.view();
    let mut missing = Vec::new();
    for bucket in ALL_BUCKETS {
        if !view.has_bucket(bucket)? {
            missing.push(bucket);
        }
    }
    if !missing.is_empty() {
        let mut guard = backend.begin();
        for bucket in missing {
            guard.create_bucket(bucket);
        }
        guard.end();
    }
    Ok(())
}

fn restore_leases(view: &View, lessor: &Lessor) -> Result<()> {
    let mut leases = view.scan(LEASE, &KeyRange::all(), Direction::Forward)?;
    while let Some((key, value)) = leases.next()? {
        let lease = leasepb::Lease::decode(value).map_err(|_| Error::BadRecord {
            bucket: LEASE.name(),
            row: format!("{key:?}"),
            message: "leasepb.Lease",
            offset: 0,
            what: "not a protobuf message of this type",
        })?;
        lessor.insert_restored(lease.id, lease.ttl, lease.remaining_ttl);
    }
    Ok(())
}

/// The index, and the newest main revision.
fn restore_index(view: &View, lessor: &Lessor) -> Result<(Index, i64)> {
    let mut index = Index::new();
    let mut last: Option<Revision> = None;
    let mut rows = view.scan(KEY, &KeyRange::all(), Direction::Forward)?;
    while let Some((key, value)) = rows.next()? {
        let row = RowKey::decode(&key)?;
        if last.is_some_and(|last| last >= row.revision) {
            return Err(Error::BadRowKey {
                key,
                what: "expected one row per revision",
            });
        }
        last = Some(row.revision);
        let record = Record::of_row(row, &value)?;
        if record.version < 0 {
            return Err(Error::BadRecord {
                bucket: KEY.name(),
                row: row.revision.to_string(),
                message: "mvccpb.KeyValue",
                offset: 0,
                what: "expected a version of 0 or more",
            });
        }
        let key = &value[record.key];
        let (entry, lease) = if row.tombstone {
            (Entry::tombstone(row.revision), 0)
        } else {
            let entry = Entry::put(row.revision, record.created, record.version);
            (entry, record.lease)
        };
        index.restore(key, entry);
        // A lease may be gone while an old version of a key still names it.
        if lessor.attach(key, lease).is_err() {
            lessor.detach(key);
        }
    }
    Ok((index, last.map_or(0, |last| last.main)))
}
