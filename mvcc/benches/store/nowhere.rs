//! An engine that keeps nothing.
//!
//! The memory engine copies a bucket at each commit, and whoever lets go of an old copy last pays for it:
//! in a bench of the store that would be the writer, for millions of rows that are not the store's.

use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{
    Batch, Bucket, Direction, Engine, Export, ImageExport, KeyRange, Reclaimed, Result, Scan,
    Sizes, Snapshot,
};

/// Commits are checked and forgotten; snapshots are empty.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Engine for Nowhere {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(Self))
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        batch.validate()
    }

    fn sizes(&self) -> Sizes {
        Sizes::default()
    }

    fn export(&self) -> Result<Box<dyn Export>> {
        Ok(Box::new(ImageExport::new(self.snapshot()?)?))
    }

    fn reclaim(&self) -> Result<Reclaimed> {
        Ok(Reclaimed {
            bytes_before: 0,
            bytes_after: 0,
        })
    }
}

impl Snapshot for Nowhere {
    fn buckets(&self) -> Result<Vec<Bytes>> {
        Ok(Vec::new())
    }

    fn has_bucket(&self, _: Bucket) -> Result<bool> {
        Ok(false)
    }

    fn get(&self, _: Bucket, _: &[u8]) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn scan_bucket_name(&self, _: &[u8], _: &KeyRange, _: Direction) -> Result<Box<dyn Scan + '_>> {
        Ok(Box::new(Self))
    }
}

impl Scan for Nowhere {
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        Ok(None)
    }
}
