//! A sorted map for keys that mostly arrive in ascending order.
//!
//! Revision keys only grow, so almost every insertion is an append: those go into a run (a sorted
//! vector) and everything else into a tree beside it. Lookups search the first eight bytes of all run
//! keys in one dense array before they touch a key.
//!
//! # Invariants
//! 1. `run` is strictly ascending and `prefixes[i]` is the prefix of `run[i]`.
//! 2. A key stands in the run or in the side tree, never in both.
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;

#[cfg(test)]
mod tests;

#[derive(Debug, Clone)]
pub(crate) struct OrderedMap<V> {
    prefixes: Vec<u64>,
    run: Vec<(Bytes, V)>,
    side: BTreeMap<Bytes, V>,
}

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            run: Vec::new(),
            side: BTreeMap::new(),
        }
    }
}

/// The first eight bytes as a number that sorts like the bytes; shorter keys are filled with zeros,
/// which cannot sort a key behind a longer one it is a prefix of.
pub(crate) fn prefix(key: &[u8]) -> u64 {
    if let Some(head) = key.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    let n = key.len().min(8);
    head[..n].copy_from_slice(&key[..n]);
    u64::from_be_bytes(head)
}

impl<V> OrderedMap<V> {
    pub(crate) fn len(&self) -> usize {
        self.run.len() + self.side.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.run.is_empty() && self.side.is_empty()
    }

    /// Makes room for keys that arrive in ascending order.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.prefixes.reserve(keys);
        self.run.reserve(keys);
    }

    /// All pairs, ascending, if none arrived out of order.
    pub(crate) fn as_run(&self) -> Option<&[(Bytes, V)]> {
        self.side.is_empty().then_some(&self.run[..])
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The part of the run with this prefix; empty where it would stand. Revisions are nearly evenly spread:
    /// where they are, one look finds a prefix that only one key has.
    fn with_prefix(&self, wanted: u64) -> (usize, usize) {
        if let Some(at) = self.guess(wanted)
            && self.prefixes[at] == wanted
            && (at == 0 || self.prefixes[at - 1] != wanted)
            && self.prefixes.get(at + 1) != Some(&wanted)
        {
            return (at, at + 1);
        }
        let lo = self.prefixes.partition_point(|p| *p < wanted);
        (
            lo,
            lo + self.prefixes[lo..].partition_point(|p| *p == wanted),
        )
    }

    /// Where a prefix between the first and the last would stand if all were evenly spread.
    fn guess(&self, wanted: u64) -> Option<usize> {
        let (first, last) = (*self.prefixes.first()?, *self.prefixes.last()?);
        let (offset, span) = (wanted.checked_sub(first)?, last - first);
        if offset > span {
            return None;
        }
        let steps = u128::try_from(self.prefixes.len() - 1).ok()?;
        // Rounded: keys that are missing here and there shift their neighbours by less than one place.
        let twice = (2 * u128::from(offset) * steps).checked_div(u128::from(span));
        usize::try_from(twice.unwrap_or(0).div_ceil(2)).ok()
    }

    /// Position of the key in the run, or where it would stand.
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let wanted = prefix(key);
        let (lo, hi) = self.with_prefix(wanted);
        match self.run[lo..hi].binary_search_by(|(k, _)| k[..].cmp(key)) {
            Ok(i) => Ok(lo + i),
            Err(i) => Err(lo + i),
        }
    }

    /// Whether a key with this prefix sorts behind the whole run.
    fn is_beyond_run(&self, key: &[u8], head: u64) -> bool {
        match (self.prefixes.last(), self.run.last()) {
            (Some(prefix), Some((last, _))) => match prefix.cmp(&head) {
                Ordering::Less => true,
                Ordering::Equal => last[..] < *key,
                Ordering::Greater => false,
            },
            _ => true,
        }
    }

    /// Whether the key sorts behind everything beside the run.
    fn is_beyond_side(&self, key: &[u8]) -> bool {
        let last = self.side.last_key_value();
        last.is_none_or(|(last, _)| last[..] < *key)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        // A reader asks mostly for keys that are older than everything here.
        let may_be_in_run = self.prefixes.first().is_some_and(|p| *p <= prefix(key));
        if may_be_in_run && let Ok(i) = self.find(key) {
            return Some(&self.run[i].1);
        }
        if self.side.is_empty() {
            None
        } else {
            self.side.get(key)
        }
    }

    /// Changes the value under `key` with `change`, or inserts `fresh` when there is none. `fresh` and
    /// `change` receive `input`, so that it need not be cloned. Returns whether the key is new.
    pub(crate) fn upsert<I>(
        &mut self,
        key: Bytes,
        input: I,
        change: impl FnOnce(&mut V, I),
        fresh: impl FnOnce(I) -> V,
    ) -> bool {
        let head = prefix(&key);
        let beyond_run = self.is_beyond_run(&key, head);
        if !beyond_run || !self.is_beyond_side(&key) {
            if let Ok(i) = self.find(&key) {
                change(&mut self.run[i].1, input);
                return false;
            }
            if let Some(value) = self.side.get_mut(&key[..]) {
                change(value, input);
                return false;
            }
        }
        if beyond_run {
            self.prefixes.push(head);
            self.run.push((key, fresh(input)));
        } else {
            self.side.insert(key, fresh(input));
        }
        true
    }

    /// The pairs between two bounds, ascending.
    pub(crate) fn range<'a>(
        &'a self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> impl Iterator<Item = (&'a Bytes, &'a V)> {
        let (run, side) = self.parts(start, end);
        Merge {
            run: run.iter().map(|(k, v)| (k, v)).peekable(),
            side: side.peekable(),
            wins: Ordering::Less,
        }
    }

    /// The pairs between two bounds, descending.
    pub(crate) fn range_back<'a>(
        &'a self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> impl Iterator<Item = (&'a Bytes, &'a V)> {
        let (run, side) = self.parts(start, end);
        Merge {
            run: run.iter().rev().map(|(k, v)| (k, v)).peekable(),
            side: side.rev().peekable(),
            wins: Ordering::Greater,
        }
    }

    /// All pairs, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &V)> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    fn parts(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> (
        &[(Bytes, V)],
        std::collections::btree_map::Range<'_, Bytes, V>,
    ) {
        let lo = match start {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.find(key).unwrap_or_else(|i| i),
            Bound::Excluded(key) => self.find(key).map_or_else(|i| i, |i| i + 1),
        };
        let hi = match end {
            Bound::Unbounded => self.run.len(),
            Bound::Included(key) => self.find(key).map_or_else(|i| i, |i| i + 1),
            Bound::Excluded(key) => self.find(key).unwrap_or_else(|i| i),
        };
        // `BTreeMap::range` panics on inverted bounds; an empty range at the key itself stands for them.
        let inverted = match (start, end) {
            (Bound::Excluded(s), Bound::Excluded(e)) => s >= e,
            (Bound::Included(s) | Bound::Excluded(s), Bound::Included(e) | Bound::Excluded(e)) => {
                s > e
            }
            _ => false,
        };
        let side = if inverted {
            let nothing: (Bound<&[u8]>, Bound<&[u8]>) =
                (Bound::Included(&[]), Bound::Excluded(&[]));
            self.side.range::<[u8], _>(nothing)
        } else {
            self.side.range::<[u8], _>((start, end))
        };
        (&self.run[lo..hi.max(lo)], side)
    }
}

/// Two sorted iterators over disjoint keys as one.
struct Merge<A: Iterator, B: Iterator> {
    run: Peekable<A>,
    side: Peekable<B>,
    /// How the run's key compares with the side's when the run goes first.
    wins: Ordering,
}

impl<'a, V: 'a, A, B> Iterator for Merge<A, B>
where
    A: Iterator<Item = (&'a Bytes, &'a V)>,
    B: Iterator<Item = (&'a Bytes, &'a V)>,
{
    type Item = (&'a Bytes, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match (self.run.peek(), self.side.peek()) {
            (Some((a, _)), Some((b, _))) if a.cmp(b) == self.wins => self.run.next(),
            (_, Some(_)) => self.side.next(),
            _ => self.run.next(),
        }
    }
}
