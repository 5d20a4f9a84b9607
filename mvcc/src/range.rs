//! What a range asks for and what it answers: filters, order, limit, count.
//!
//! The rules are those of etcd's Range (features RA1-RA10), its one oddity included: a sort by
//! something other than the key with order "none" sorts only the rows that the limit let through.
//! Which keys there are comes from the index; rows are read only for what is returned, or to sort by
//! value. Used by [`ReadView`](crate::ReadView) and [`WriteTxn`](crate::WriteTxn).

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::index::{Bounds, IndexView};
use crate::key_history::Found;
use crate::record::{self, Record};
use crate::revision::{Revision, RowKey, RowKeyBytes};

#[cfg(test)]
mod tests;

/// A range request. The default asks for the single key "" at the current revision.
#[derive(Clone, Debug, Default)]
pub struct RangeOptions {
    /// First key.
    pub key: Bytes,
    /// Empty for the single key, `b"\0"` for all keys from `key` on, else the first key past the range.
    pub end: Bytes,
    /// Revision to read at; 0 or less for the current one.
    pub revision: i64,
    /// Most pairs to return; 0 or less for all.
    pub limit: i64,
    /// Only count.
    pub count_only: bool,
    /// Leave values out.
    pub keys_only: bool,
    /// Order of the result.
    pub sort: SortOrder,
    /// What to order by.
    pub target: SortTarget,
    /// Drop keys last modified before this revision; 0 for none.
    pub min_mod_revision: i64,
    /// Drop keys last modified after this revision; 0 for none.
    pub max_mod_revision: i64,
    /// Drop keys created before this revision; 0 for none.
    pub min_create_revision: i64,
    /// Drop keys created after this revision; 0 for none.
    pub max_create_revision: i64,
}

impl RangeOptions {
    /// Asks for one key at the current revision.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            ..Self::default()
        }
    }

    /// Asks for all keys that begin with `prefix`; for an empty one, as etcd's clients do, from the
    /// smallest key there can be.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let mut key = prefix.into();
        let end = prefix_end(&key);
        if key.is_empty() {
            key = Bytes::from_static(b"\0");
        }
        Self {
            key,
            end,
            ..Self::default()
        }
    }

    /// The same range at `revision`.
    #[must_use]
    pub fn at(mut self, revision: i64) -> Self {
        self.revision = revision;
        self
    }
}

/// The first key past all keys that begin with `prefix`, in the notation of [`RangeOptions::end`].
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

/// Order of a range's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// By key, ascending; by another target as [`Ascend`](Self::Ascend), after the limit.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a range's result is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// Number of puts since creation.
    Version,
    /// Revision of creation.
    Create,
    /// Revision of the last put.
    Mod,
    /// The value.
    Value,
}

/// Answer to a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// Encoded `mvccpb.KeyValue` messages, as stored.
    pub kvs: Vec<Bytes>,
    /// Keys in the range at the revision, whatever limit and filters say.
    pub count: i64,
    /// Whether the limit cut the result.
    pub more: bool,
    /// The store's current revision, not the one asked for.
    pub revision: i64,
}

/// Where the pairs of a range lie; see [`ReadView::locate`](crate::ReadView::locate).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Rows to load, in the order of the result.
    pub revisions: Vec<Revision>,
    /// As in [`RangeResult`].
    pub count: i64,
    /// As in [`RangeResult`].
    pub more: bool,
    /// As in [`RangeResult`].
    pub revision: i64,
}

/// The keys a request names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'a> {
    One(&'a [u8]),
    Range(Bounds<'a>),
}

impl<'a> Keys<'a> {
    pub(crate) fn of(key: &'a [u8], end: &'a [u8]) -> Self {
        match end {
            [] => Self::One(key),
            [0] => Self::Range(Bounds {
                start: key,
                end: None,
            }),
            end => Self::Range(Bounds {
                start: key,
                end: Some(end),
            }),
        }
    }
}

/// Where rows come from: a reader's view or a transaction's own picture.
pub(crate) trait Rows {
    fn row(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The same for several keys at once.
    fn rows(&self, keys: &[RowKeyBytes]) -> Result<Vec<Option<Bytes>>> {
        keys.iter().map(|key| self.row(key.as_ref())).collect()
    }
}

/// Rows that are asked for at once.
const ROWS_AT_ONCE: usize = 256;

/// The row of a put that the index knows.
pub(crate) fn load(rows: &dyn Rows, revision: Revision) -> Result<Bytes> {
    rows.row(RowKey::put(revision).to_array().as_ref())?
        .ok_or(Error::MissingRow { revision })
}

/// One consistent picture of the store to ask.
pub(crate) struct Query<'a> {
    pub index: &'a IndexView,
    pub rows: &'a dyn Rows,
    /// Current revision.
    pub revision: i64,
    pub compacted: i64,
}

impl Query<'_> {
    /// The revision to read at.
    fn at(&self, asked: i64) -> Result<i64> {
        if asked > self.revision {
            return Err(Error::FutureRevision);
        }
        let at = if asked <= 0 { self.revision } else { asked };
        if at < self.compacted {
            return Err(Error::Compacted);
        }
        Ok(at)
    }

    /// Versions in key order, `limit` at most, and how many there are in all.
    fn find(&self, keys: Keys<'_>, at: i64, limit: usize) -> (Vec<Found>, usize) {
        let bounds = match keys {
            Keys::One(key) => {
                let found = self.index.get(key, at);
                let count = usize::from(found.is_some());
                return (found.into_iter().take(limit).collect(), count);
            }
            Keys::Range(bounds) => bounds,
        };
        let mut versions = Vec::new();
        let mut count = 0;
        let now = at == self.revision;
        if now {
            // The tree knows how many there are, so the walk may end at the limit.
            count = self.index.count_live(bounds);
            versions.reserve_exact(count.min(limit));
        }
        if limit == 0 && now {
            return (versions, count);
        }
        self.index.visit(bounds, at, now, &mut |_, found| {
            if versions.len() < limit {
                versions.push(found);
            }
            if now {
                if versions.len() == limit {
                    return ControlFlow::Break(());
                }
            } else {
                count += 1;
            }
            ControlFlow::Continue(())
        });
        (versions, count)
    }

    pub(crate) fn locate(&self, o: &RangeOptions) -> Result<Located> {
        let at = self.at(o.revision)?;
        let keys = Keys::of(&o.key, &o.end);
        let limit = usize::try_from(o.limit).ok().filter(|limit| *limit > 0);
        let fetch = match limit {
            _ if o.count_only => 0,
            Some(limit) if !o.looks_at_all() => limit.saturating_add(1),
            _ => usize::MAX,
        };
        let (mut versions, count) = self.find(keys, at, fetch);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        versions.retain(|found| o.passes(found));
        self.sort(o, &mut versions)?;
        let more = limit.is_some_and(|limit| versions.len() > limit);
        if let Some(limit) = limit {
            versions.truncate(limit);
        }
        Ok(Located {
            revisions: versions.iter().map(|found| found.revision).collect(),
            count,
            more,
            revision: self.revision,
        })
    }

    fn sort(&self, o: &RangeOptions, versions: &mut Vec<Found>) -> Result<()> {
        let descend = o.sort == SortOrder::Descend;
        let directed = |order: Ordering| if descend { order.reverse() } else { order };
        // All sorts are stable: equals stay in key order, as they do in etcd's small results.
        match o.target {
            SortTarget::Key if descend => versions.reverse(),
            SortTarget::Key => {}
            SortTarget::Version => versions.sort_by(|a, b| directed(a.version.cmp(&b.version))),
            SortTarget::Create => versions.sort_by(|a, b| directed(a.created.cmp(&b.created))),
            SortTarget::Mod => {
                versions.sort_by(|a, b| directed(a.revision.main.cmp(&b.revision.main)));
            }
            SortTarget::Value => {
                let mut valued = Vec::with_capacity(versions.len());
                for found in versions.drain(..) {
                    let row = load(self.rows, found.revision)?;
                    let value = Record::of_row(RowKey::put(found.revision), &row)?.value;
                    valued.push((row.slice(value), found));
                }
                valued.sort_by(|a, b| directed(a.0.cmp(&b.0)));
                versions.extend(valued.into_iter().map(|(_, found)| found));
            }
        }
        Ok(())
    }

    pub(crate) fn range(&self, o: &RangeOptions) -> Result<RangeResult> {
        let located = self.locate(o)?;
        let mut kvs = Vec::with_capacity(located.revisions.len());
        self.load_each(&located.revisions, o.keys_only, &mut |kv| kvs.push(kv))?;
        Ok(RangeResult {
            kvs,
            count: located.count,
            more: located.more,
            revision: located.revision,
        })
    }

    pub(crate) fn load_each(
        &self,
        revisions: &[Revision],
        keys_only: bool,
        f: &mut dyn FnMut(Bytes),
    ) -> Result<()> {
        if let [revision] = revisions {
            f(self.load(*revision, keys_only)?);
            return Ok(());
        }
        for part in revisions.chunks(ROWS_AT_ONCE) {
            let keys: Vec<_> = part.iter().map(|r| RowKey::put(*r).to_array()).collect();
            for (revision, row) in part.iter().zip(self.rows.rows(&keys)?) {
                let revision = *revision;
                let row = row.ok_or(Error::MissingRow { revision })?;
                f(if keys_only {
                    record::without_value(RowKey::put(revision), &row)?
                } else {
                    row
                });
            }
        }
        Ok(())
    }

    pub(crate) fn load(&self, revision: Revision, keys_only: bool) -> Result<Bytes> {
        let row = load(self.rows, revision)?;
        if keys_only {
            return record::without_value(RowKey::put(revision), &row);
        }
        Ok(row)
    }
}

impl RangeOptions {
    /// Whether the limit applies only after everything was filtered and sorted.
    fn looks_at_all(&self) -> bool {
        self.sort != SortOrder::None
            || self.min_mod_revision != 0
            || self.max_mod_revision != 0
            || self.min_create_revision != 0
            || self.max_create_revision != 0
    }

    fn passes(&self, found: &Found) -> bool {
        let within = |number: i64, min: i64, max: i64| {
            (max == 0 || number <= max) && (min == 0 || number >= min)
        };
        within(
            found.revision.main,
            self.min_mod_revision,
            self.max_mod_revision,
        ) && within(
            found.created,
            self.min_create_revision,
            self.max_create_revision,
        )
    }
}
