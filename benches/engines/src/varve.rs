//! Ours, with the server's defaults.
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use varve_backend::{Batch, Bucket, Direction, Engine, KeyRange, Snapshot};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{DynFs, RealFs};

use crate::store::{Store, Values, consume, revision};

const KEY: Bucket = Bucket::new("key");

/// How values are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Shown where they lie, as the peers do it.
    Lent,
    /// As `Bytes` that stay valid.
    Kept,
}

#[derive(Clone)]
pub struct Varve {
    engine: Arc<BtreeEngine>,
    read: Read,
}

pub fn open(dir: &Path, read: Read) -> Result<Varve> {
    open_on(Arc::new(RealFs), dir, read)
}

pub fn open_on(fs: DynFs, dir: &Path, read: Read) -> Result<Varve> {
    let options = BtreeOptions {
        // As etcd does with bbolt: never outgrow the map.
        initial_map_bytes: 10 << 30,
        freelist_sidecar: true,
        ..BtreeOptions::default()
    };
    let engine = BtreeEngine::open(fs, dir.join("db"), options)?;
    Ok(Varve {
        engine: Arc::new(engine),
        read,
    })
}

impl Varve {
    /// The same store, read in the other way.
    pub fn keeping(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            read: Read::Kept,
        }
    }

    fn read(&self, snapshot: &dyn Snapshot, key: u64) -> Result<u64> {
        let mut sum = None;
        match self.read {
            Read::Kept => {
                let value = snapshot.get(KEY, &revision(key))?;
                sum = value.map(|v| consume(&v));
            }
            Read::Lent => {
                snapshot.get_with(KEY, &revision(key), &mut |value| {
                    sum = Some(consume(value));
                })?;
            }
        }
        sum.with_context(|| format!("no revision {key}"))
    }
}

impl Store for Varve {
    fn append(&mut self, range: Range<u64>, values: &Values, len: usize) -> Result<()> {
        let mut batch = Batch::new();
        // Who puts many keys makes them in one piece of memory.
        let mut keys = BytesMut::with_capacity(17 * usize::try_from(range.end - range.start)?);
        range
            .clone()
            .for_each(|main| keys.extend_from_slice(&revision(main)));
        let keys = keys.freeze();
        batch.reserve(KEY, keys.len() / 17);
        for (n, main) in range.enumerate() {
            batch.put(KEY, keys.slice(17 * n..17 * n + 17), values.of(main, len));
        }
        Ok(self.engine.commit(&batch)?)
    }

    fn delete(&mut self, keys: &mut dyn Iterator<Item = u64>) -> Result<()> {
        let mut batch = Batch::new();
        for main in keys {
            batch.delete(KEY, Bytes::copy_from_slice(&revision(main)));
        }
        Ok(self.engine.commit(&batch)?)
    }

    fn get(&mut self, keys: &mut dyn Iterator<Item = u64>, own_snapshot: bool) -> Result<u64> {
        let mut total = 0;
        if own_snapshot {
            for key in keys {
                total += self.read(&*self.engine.snapshot()?, key)?;
            }
        } else {
            let snapshot = self.engine.snapshot()?;
            for key in keys {
                total += self.read(&*snapshot, key)?;
            }
        }
        Ok(total)
    }

    fn scan(&mut self, starts: &mut dyn Iterator<Item = u64>, len: u64) -> Result<u64> {
        let snapshot = self.engine.snapshot()?;
        let mut total = 0;
        for start in starts {
            let from = KeyRange::from(Bytes::copy_from_slice(&revision(start)));
            let mut left = len;
            if self.read == Read::Lent {
                snapshot.visit(KEY, &from, Direction::Forward, &mut |_, value| {
                    total += consume(value);
                    left -= 1;
                    left > 0
                })?;
            } else {
                let mut scan = snapshot.scan(KEY, &from, Direction::Forward)?;
                while left > 0
                    && let Some((_, value)) = scan.next()?
                {
                    total += consume(&value);
                    left -= 1;
                }
            }
        }
        Ok(total)
    }
}
