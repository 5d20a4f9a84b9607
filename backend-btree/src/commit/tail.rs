//! Pairs that come behind all others: from the batch straight into the pages.
//!
//! Used by the pass over a tree for the last leaf of a branch, the place where revisions grow. The pages
//! are, byte for byte, those that lists of elements would give: what belongs together is decided by the
//! same [`Plan`].
use bytes::Bytes;
use varve_backend::bbolt::{ELEMENT_LEN, HEADER_LEN, PageBuilder};
use varve_backend::{Batch, Bucket, Op, Result};

use super::apply::ChangeSlice;
use super::direct::{self, Way};
use super::{Change, Tx};
use crate::content::{Child, Slice, entry_len, pair_len};
use crate::freelist::Run;
use crate::page::{LeafEntry, MAX_DEPTH, Node};
use crate::split::{Piece, Plan};

#[cfg(test)]
mod tests;

/// So many puts behind all keys are worth looking for the last key, in order not to list them.
const MANY: usize = 64;

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
    new: Puts<'c>,
}

/// Changes that are all puts.
struct Puts<'c> {
    listed: ChangeSlice<'c>,
    rest: &'c [(Bytes, Op)],
}

impl<'c> Puts<'c> {
    /// `None` when not all of them are, or there is none.
    fn new(changes: ChangeSlice<'c>) -> Option<Self> {
        let (listed, rest) = match changes.split_last() {
            Some(((_, Change::Puts(rest)), listed)) => (listed, *rest),
            _ => (changes, &[][..]),
        };
        let all = listed.iter().all(|(_, c)| matches!(c, Change::Put { .. }));
        (all && !changes.is_empty()).then_some(Self { listed, rest })
    }

    fn len(&self) -> usize {
        self.listed.len() + self.rest.len()
    }

    /// Flags, key and value of one of them.
    fn get(&self, index: usize) -> (u32, &'c [u8], &'c [u8]) {
        match (self.listed.get(index), index.checked_sub(self.listed.len())) {
            (Some((key, Change::Put { flags, value })), _) => (*flags, key, value),
            (None, Some(index)) => match &self.rest[index] {
                (key, Op::Put(value)) => (0, key, value),
                (_, Op::Delete) => unreachable!("only puts are taken together"),
            },
            _ => unreachable!("all changes are puts"),
        }
    }

    /// Bytes one of them takes.
    fn len_of(&self, index: usize) -> usize {
        let (_, key, value) = self.get(index);
        pair_len(key, value)
    }
}

impl<'a> Tx<'a> {
    /// The operations of a batch that are puts behind all keys of their bucket, if there are many.
    pub(super) fn behind<'c>(
        &self,
        root: u64,
        batch: &'c Batch,
        bucket: Bucket,
    ) -> Result<&'c [(Bytes, Op)]> {
        let many = |ops: &&[(Bytes, Op)]| ops.len() >= MANY;
        let Some(ops) = batch.ascending_puts(bucket).filter(many) else {
            return Ok(&[]);
        };
        if direct::is_off() || batch.removes(bucket) {
            return Ok(&[]);
        }
        let Some((leaf, index)) = self.element(root, bucket.as_bytes())? else {
            return Ok(&[]);
        };
        let mut node = leaf.bucket_root(&leaf.leaf(index)?)?;
        for _ in 0..MAX_DEPTH {
            let Some(last) = node.count().checked_sub(1) else {
                break;
            };
            if node.is_branch() {
                node = self.pages.node(node.branch(last)?.1)?;
                continue;
            }
            let last = node.key(last)?;
            let behind = &ops[ops.partition_point(|(key, _)| key[..] <= *last)..];
            if many(&behind) {
                direct::note(Way::Behind);
                return Ok(behind);
            }
            break;
        }
        Ok(&[])
    }

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
        let (Some(new), Some(last)) = (Puts::new(new), leaf.count().checked_sub(1)) else {
            return Ok(None);
        };
        if direct::is_off() || leaf.is_branch() || leaf.key(last)? >= new.get(0).1 {
            return Ok(None);
        }
        direct::note(Way::Tail);
        let old: Result<Vec<LeafEntry>> = (0..=last).map(|index| leaf.leaf(index)).collect();
        let mut elements = Elements {
            leaf,
            old: old?,
            new,
        };
        let fill = self.fill(fill);
        let (size, next) = (
            HEADER_LEN + elements.old.iter().map(entry_len).sum::<usize>(),
            elements.new.len_of(0),
        );
        let stays = size + next > fill.page_size && Plan::appending(fill, size).is_full(size, next);
        if stays {
            elements.old.clear();
        } else {
            let (start, len) = (leaf.id(), leaf.page_count());
            self.release(Run { start, len });
        }
        let count = elements.old.len() + elements.new.len();
        // Whether they are many is known long before all are counted.
        let counted = (0..count).try_fold(HEADER_LEN, |sum, index| {
            let sum = sum + elements.len(index);
            if Plan::is_bulk(fill, sum) {
                Err(sum)
            } else {
                Ok(sum)
            }
        });
        let (Ok(total) | Err(total)) = counted;
        let plan = (total > fill.page_size).then(|| Plan::appending(fill, total));
        let mut written = Vec::new();
        let mut from = 0;
        while from < count {
            let lens = (from..count).map(|index| elements.len(index));
            let piece = match &plan {
                Some(plan) => plan.first(from, lens),
                None => Piece {
                    range: 0..count,
                    size: total,
                },
            };
            let page = self.allocate(piece.size.div_ceil(fill.page_size) as u64);
            self.out.page(page, |buf| {
                elements.build(&piece, buf).finish(page, fill.page_size)
            })?;
            let key = elements.key(from);
            written.push(Child { key, page });
            from = piece.range.end;
        }
        Ok(Some(Tail { stays, written }))
    }
}

impl<'a: 'c, 'c> Elements<'_, 'a, 'c> {
    /// Bytes one of them takes.
    fn len(&self, index: usize) -> usize {
        match self.old.get(index) {
            Some(entry) => entry_len(entry),
            None => self.new.len_of(index - self.old.len()),
        }
    }

    fn key(&self, index: usize) -> Slice<'c> {
        match (self.old.get(index), index.checked_sub(self.old.len())) {
            (Some(entry), _) => self.leaf.slice(&entry.key),
            (None, Some(index)) => Slice::Lent(self.new.get(index).1),
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
        for index in from.max(border)..to {
            let (flags, key, value) = self.new.get(index - border);
            builder.push_leaf(flags, key, value);
        }
        builder
    }
}
