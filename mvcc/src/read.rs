//! Reading: an immutable picture of the store.
//!
//! Taken and used on any thread; holds no lock.

use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{Bucket, View};

use crate::error::Result;
use crate::index::IndexView;
use crate::range::{Located, Query, RangeOptions, RangeResult, Rows, load};
use crate::revision::{Revision, RowKeyBytes};
use crate::schema::KEY;

/// What the last ended transaction left, published as one.
#[derive(Debug)]
pub(crate) struct Published {
    pub index: IndexView,
    pub revision: i64,
    pub compacted: i64,
    /// How often the whole content was replaced before.
    pub epoch: u64,
}

/// The store as of one revision. Compactions that are accepted later do not disturb it.
///
/// It keeps what it can see in memory and in the engine for as long as it lives.
#[derive(Clone, Debug)]
pub struct ReadView {
    pub(crate) published: Arc<Published>,
    pub(crate) view: View,
}

impl Rows for View {
    fn row(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.get(KEY, key)?)
    }

    fn rows(&self, keys: &[RowKeyBytes]) -> Result<Vec<Option<Bytes>>> {
        Ok(self.get_many(KEY, keys)?)
    }
}

impl ReadView {
    fn query(&self) -> Query<'_> {
        Query {
            index: &self.published.index,
            rows: &self.view,
            revision: self.published.revision,
            compacted: self.published.compacted,
        }
    }

    /// The pair of `key` just before main revision `main`, where it is not compacted away.
    pub(crate) fn previous(&self, key: &[u8], main: i64) -> Result<Option<Bytes>> {
        let at = main - 1;
        if at < self.published.compacted {
            return Ok(None);
        }
        match self.published.index.get(key, at) {
            Some(found) => Ok(Some(load(&self.view, found.revision)?)),
            None => Ok(None),
        }
    }

    /// The revision of this view.
    pub fn revision(&self) -> i64 {
        self.published.revision
    }

    /// The newest compaction this view knows, -1 for none.
    pub fn compact_revision(&self) -> i64 {
        self.published.compacted
    }

    /// Reads a range. [`Error::Compacted`](crate::Error::Compacted) below the compaction revision,
    /// [`Error::FutureRevision`](crate::Error::FutureRevision) above the view's.
    pub fn range(&self, options: &RangeOptions) -> Result<RangeResult> {
        self.query().range(options)
    }

    /// The first half of [`range`](Self::range): which rows, how many, whether more. With
    /// [`load`](Self::load) a long answer can be streamed instead of built. 16 bytes per row.
    pub fn locate(&self, options: &RangeOptions) -> Result<Located> {
        self.query().locate(options)
    }

    /// Calls `f` with the encoded `mvccpb.KeyValue` of each of several located rows, in their order.
    /// Cheaper than one after the other beside a writer.
    pub fn load_each(
        &self,
        revisions: &[Revision],
        keys_only: bool,
        f: &mut dyn FnMut(Bytes),
    ) -> Result<()> {
        self.query().load_each(revisions, keys_only, f)
    }

    /// The encoded `mvccpb.KeyValue` of a located row.
    pub fn load(&self, revision: Revision, keys_only: bool) -> Result<Bytes> {
        self.query().load(revision, keys_only)
    }

    /// A value of any bucket, as of the same moment.
    pub fn get_raw(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.view.get(bucket, key)?)
    }

    /// The backend's view behind this one, to scan other buckets.
    pub fn backend_view(&self) -> &View {
        &self.view
    }
}
