//! Opening: from the rows of a backend to an index, leases and the compaction state.
//!
//! Called by whoever opens a store or is about to replace its content, before anybody reads.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
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
            expecting: 0,
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

/// The index, and the newest main revision. Rows are read and decoded on this thread; beyond the first
/// few thousand, another one builds the index meanwhile.
fn restore_index(view: &View, lessor: &Lessor) -> Result<(Index, i64)> {
    std::thread::scope(|scope| {
        let mut decoder = Decoder::default();
        let mut builder = Some(Builder::new(lessor));
        let mut elsewhere = None;
        let mut failed = None;
        // Rows are looked at where they lie: nothing of them is kept.
        view.visit(
            KEY,
            &KeyRange::all(),
            Direction::Forward,
            &mut |key, value| {
                failed = decoder.add(key, value).err();
                if failed.is_none() && decoder.chunk.is_full() {
                    let chunk = std::mem::replace(&mut decoder.chunk, Chunk::with_room());
                    if let Some(builder) = builder.take() {
                        match builder.move_to_thread(scope) {
                            Ok(moved) => elsewhere = Some(moved),
                            Err(error) => failed = Some(Error::Thread(error)),
                        }
                    }
                    if let Some((chunks, _)) = &elsewhere
                        && chunks.send(chunk).is_err()
                    {
                        // The builder panicked; joining it below says so.
                        return false;
                    }
                }
                failed.is_none()
            },
        )?;
        let mut builder = match (builder, elsewhere) {
            (_, Some((chunks, thread))) => {
                drop(chunks);
                match thread.join() {
                    Ok(builder) => builder,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            (here, None) => here.unwrap_or_else(|| Builder::new(lessor)),
        };
        if let Some(error) = failed {
            return Err(error);
        }
        builder.add(&decoder.chunk);
        Ok((builder.index, decoder.last.map_or(0, |last| last.main)))
    })
}

/// Rows handed over at once: sorted, they go into the index together.
const CHUNK_ROWS: usize = 16 << 10;
/// Bytes of their keys from which on fewer are enough.
const CHUNK_KEY_BYTES: usize = 4 << 20;
/// Chunks that may wait: on a busy machine the two sides do not run at the same time.
const CHUNKS_WAITING: usize = 4;

/// What the index needs of some rows.
#[derive(Default)]
struct Chunk {
    /// Keys, one behind the other.
    keys: Vec<u8>,
    rows: Vec<Decoded>,
}

impl Chunk {
    /// Room for the rows, and for names of everyday length.
    fn with_room() -> Self {
        Self {
            keys: Vec::with_capacity(CHUNK_ROWS * 48),
            rows: Vec::with_capacity(CHUNK_ROWS),
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() == CHUNK_ROWS || self.keys.len() >= CHUNK_KEY_BYTES
    }
}

struct Decoded {
    key_end: usize,
    entry: Entry,
    lease: i64,
}

#[derive(Default)]
struct Decoder {
    last: Option<Revision>,
    chunk: Chunk,
}

impl Decoder {
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let row = RowKey::decode(key)?;
        if self.last.is_some_and(|last| last >= row.revision) {
            return Err(Error::BadRowKey {
                key: Bytes::copy_from_slice(key),
                what: "expected one row per revision",
            });
        }
        self.last = Some(row.revision);
        let record = Record::of_row(row, value)?;
        if record.version < 0 {
            return Err(Error::BadRecord {
                bucket: KEY.name(),
                row: row.revision.to_string(),
                message: "mvccpb.KeyValue",
                offset: 0,
                what: "expected a version of 0 or more",
            });
        }
        let (entry, lease) = if row.tombstone {
            (Entry::tombstone(row.revision), 0)
        } else {
            let entry = Entry::put(row.revision, record.created, record.version);
            (entry, record.lease)
        };
        self.chunk.keys.extend_from_slice(&value[record.key]);
        self.chunk.rows.push(Decoded {
            key_end: self.chunk.keys.len(),
            entry,
            lease,
        });
        Ok(())
    }
}

struct Builder<'a> {
    index: Index,
    lessor: &'a Lessor,
}

type Moved<'scope, 'a> = (
    SyncSender<Chunk>,
    std::thread::ScopedJoinHandle<'scope, Builder<'a>>,
);

impl<'a> Builder<'a> {
    fn new(lessor: &'a Lessor) -> Self {
        let index = Index::new();
        Self { index, lessor }
    }

    fn move_to_thread<'scope>(
        mut self,
        scope: &'scope std::thread::Scope<'scope, '_>,
    ) -> std::io::Result<Moved<'scope, 'a>>
    where
        'a: 'scope,
    {
        let (chunks, received) = std::sync::mpsc::sync_channel::<Chunk>(CHUNKS_WAITING);
        let thread = std::thread::Builder::new()
            .name("mvcc-restore".into())
            .spawn_scoped(scope, move || {
                for chunk in &received {
                    self.add(&chunk);
                }
                self
            })?;
        Ok((chunks, thread))
    }

    fn add(&mut self, chunk: &Chunk) {
        let mut start = 0;
        let mut rows = Vec::with_capacity(chunk.rows.len());
        for row in &chunk.rows {
            rows.push((&chunk.keys[start..row.key_end], row.entry));
            start = row.key_end;
        }
        self.index.restore(&rows);
        let leases = rows.iter().zip(&chunk.rows);
        self.lessor
            .attach_restored(leases.map(|((key, _), row)| (*key, row.lease)));
    }
}
