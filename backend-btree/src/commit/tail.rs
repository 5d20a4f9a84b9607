//! Pairs that come behind all others: from the batch straight into the pages.
//!
//! Used by the pass over a tree for the last leaf of a branch, the place where revisions grow. The pages
//! are, byte for byte, those that lists of elements would give: what belongs together is decided by the
//! same [`Plan`].
use varve_backend::Result;
use varve_backend::bbolt::{ELEMENT_LEN, HEADER_LEN, PageBuilder};

use super::apply::ChangeSlice;
use super::direct::{self, Way};
use super::{Change, Tx};
use crate::content::{Child, Slice, pair_len};
use crate::freelist::Run;
use crate::page::{LeafEntry, Node};
use crate::split::{Piece, Plan};

#[cfg(test)]
mod tests;

/// What became of a leaf with pairs behind it.
pub(super) struct Tail<'c> {
    /// It is full and stays as it is.
    pub(super) stays: bool,
    /// New leaves in its place, or behind it.
    pub(super) written: Vec<Child<'c>>,
}

/// The elements of the new leaves: first those of the old one.
struct Elements<'l, 'a, 'c> {
    leaf: &'l Node<'a>,
    old: Vec<LeafEntry>,
    new: ChangeSlice<'c>,
}

impl<'a> Tx<'a> {
    /// Writes pairs that all come behind `leaf`, which has none but clean siblings before it; `None`, and
    /// nothing is done, when the changes are others.
    pub(super) fn tail<'c>(
        &mut self,
        leaf: &Node<'a>,
        new: ChangeSlice<'c>,
        fill: u8,
    ) -> Result<Option<Tail<'c>>>
    where
        'a: 'c,
    {
        let (Some((first, _)), Some(last)) = (new.first(), leaf.count().checked_sub(1)) else {
            return Ok(None);
        };
        if direct::is_off() || leaf.is_branch() || leaf.key(last)? >= *first {
            return Ok(None);
        }
        let Some(added) = lens(new) else {
            return Ok(None);
        };
        direct::note(Way::Tail);
        let old: Result<Vec<LeafEntry>> = (0..=last).map(|index| leaf.leaf(index)).collect();
        let mut elements = Elements {
            leaf,
            old: old?,
            new,
        };
        let fill = self.fill(fill);
        let (size, next) = (
            HEADER_LEN + elements.old_lens().sum::<usize>(),
            put_len(&new[0]),
        );
        let stays = size + next > fill.page_size && Plan::appending(fill, size).is_full(size, next);
        let total = if stays {
            elements.old.clear();
            HEADER_LEN + added
        } else {
            let (start, len) = (leaf.id(), leaf.page_count());
            self.release(Run { start, len });
            size + added
        };
        let pieces = if total <= fill.page_size {
            vec![Piece {
                range: 0..elements.old.len() + new.len(),
                size: total,
            }]
        } else {
            let new = new.iter().map(put_len);
            Plan::appending(fill, total).cut(elements.old_lens().chain(new), 1)
        };
        let mut written = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            let page = self.allocate(piece.size.div_ceil(fill.page_size) as u64);
            self.out.page(page, |buf| {
                elements.build(piece, buf).finish(page, fill.page_size)
            })?;
            let key = elements.key(piece.range.start);
            written.push(Child { key, page });
        }
        Ok(Some(Tail { stays, written }))
    }
}

/// Bytes that pairs take; `None` when not all changes are pairs.
fn lens(changes: ChangeSlice<'_>) -> Option<usize> {
    let put = |c: &(&[u8], Change<'_>)| matches!(c.1, Change::Put { .. }).then(|| put_len(c));
    changes.iter().map(put).sum()
}

fn put_len((key, change): &(&[u8], Change<'_>)) -> usize {
    match change {
        Change::Put { value, .. } => pair_len(key, value),
        Change::Delete | Change::DeleteBucket | Change::Move => 0,
    }
}

impl<'a: 'c, 'c> Elements<'_, 'a, 'c> {
    fn old_lens(&self) -> impl Iterator<Item = usize> {
        let len = |e: &LeafEntry| ELEMENT_LEN + e.key.len() + e.value.len();
        self.old.iter().map(len)
    }

    fn key(&self, index: usize) -> Slice<'c> {
        match (self.old.get(index), index.checked_sub(self.old.len())) {
            (Some(entry), _) => self.leaf.slice(&entry.key),
            (None, Some(index)) => Slice::Lent(self.new.get(index).map_or(&[], |(key, _)| key)),
            (None, None) => Slice::Lent(&[]),
        }
    }

    fn build(&self, piece: &Piece, buf: Vec<u8>) -> PageBuilder {
        let (from, to) = (piece.range.start, piece.range.end);
        let count =
            u16::try_from(to - from).expect("a piece of a cut has fewer than 65536 elements");
        let data = piece.size - HEADER_LEN - (to - from) * ELEMENT_LEN;
        let mut builder = PageBuilder::leaf_behind(buf, count, data);
        let border = self.old.len();
        for entry in &self.old[from.min(border)..to.min(border)] {
            let (key, value) = (self.leaf.bytes(&entry.key), self.leaf.bytes(&entry.value));
            builder.push_leaf(entry.flags, key, value);
        }
        for (key, change) in &self.new[from.max(border) - border..to.max(border) - border] {
            if let Change::Put { flags, value } = change {
                builder.push_leaf(*flags, key, value);
            }
        }
        builder
    }
}
