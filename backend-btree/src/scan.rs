//! A range scan over one bucket.
//!
//! A leaf of one page is copied once and its pairs are slices of the copy; what a scan hands out thus
//! keeps at most a page alive, not the commit. Pairs of larger leaves, and of leaves of which the range
//! holds only a few, are taken one by one.
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use varve_backend::{Direction, KeyRange, Result, Scan};

use crate::cursor::Cursor;
use crate::mmap::LINE;
use crate::page::{LeafEntry, Node};
use crate::snapshot::BtreeSnapshot;
use crate::source::PageBuf;

/// From so many pairs of a leaf on, one copy of the page is cheaper than copies of the pairs.
const COPY_PAGE_FROM: usize = 4;

/// Values of this size are streams of their own.
const TOUCH_BELOW: usize = 512;

/// Reads one byte of every cache line of some pairs in order. Small pairs are looked at in strides that
/// hardware does not foresee; bytes read straight through arrive as one stream.
fn touch(node: &Node<'_>, pairs: &Range<usize>) -> Result<()> {
    if pairs.len() < COPY_PAGE_FROM {
        return Ok(());
    }
    let (first, last) = (node.leaf(pairs.start)?, node.leaf(pairs.end - 1)?);
    let bytes = node.bytes(&(first.key.start..last.value.end));
    if bytes.len() < TOUCH_BELOW * pairs.len() {
        let lines = bytes.chunks(LINE).filter_map(|line| line.first());
        std::hint::black_box(lines.fold(0, |all, byte| all ^ byte));
    }
    Ok(())
}

/// A scan of nothing.
pub(crate) struct NoScan;

impl Scan for NoScan {
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        Ok(None)
    }
}

pub(crate) struct TreeScan<'a> {
    snapshot: &'a BtreeSnapshot,
    cursor: Cursor<'a>,
    range: Cow<'a, KeyRange>,
    direction: Direction,
    /// The leaf the cursor stands in, once it was entered.
    leaf: Option<Leaf>,
    /// The last key of the leaf before; empty (which no key is) at first.
    last: Vec<u8>,
    done: bool,
}

/// What is left of a leaf.
struct Leaf {
    /// A copy of the page, when pairs are slices of it.
    copy: Option<Bytes>,
    /// Elements of the range that are still to come.
    left: Range<usize>,
    /// Whether the range goes on in the next leaf.
    goes_on: bool,
    /// The element that came last.
    previous: Option<usize>,
}

/// Fails when `key` does not come behind `last` (empty: there was none) in the direction of the walk.
pub(crate) fn check_order(
    node: &Node<'_>,
    last: &[u8],
    key: &[u8],
    direction: Direction,
) -> Result<()> {
    let wanted = match direction {
        Direction::Forward => Ordering::Greater,
        Direction::Backward => Ordering::Less,
    };
    if key.cmp(last) == wanted || last.is_empty() {
        return Ok(());
    }
    let expected = format!("a key that sorts {wanted:?} than {}", last.escape_ascii());
    Err(node.corrupt(0, "key order", expected, key.escape_ascii()))
}

impl<'a> TreeScan<'a> {
    pub(crate) fn new(
        snapshot: &'a BtreeSnapshot,
        root: Node<'a>,
        range: Cow<'a, KeyRange>,
        direction: Direction,
    ) -> Result<Self> {
        let pages = &snapshot.state.pages;
        let cursor = match direction {
            Direction::Forward => Cursor::at_or_after(pages, root, &range.start)?,
            Direction::Backward => Cursor::before(pages, root, range.end.as_deref())?,
        };
        Ok(Self {
            snapshot,
            cursor,
            range,
            direction,
            leaf: None,
            last: Vec::new(),
            done: false,
        })
    }

    /// Finds out which elements of the leaf under the cursor are in the range.
    fn enter(&self, copy: bool) -> Result<Option<Leaf>> {
        let Some((node, index)) = self.cursor.current() else {
            return Ok(None);
        };
        let (left, goes_on) = match (self.direction, &self.range.end) {
            (Direction::Forward, Some(end)) => {
                // Most leaves of a long range lie in it whole.
                let upto = match node.count() {
                    n if n > 0 && node.key(n - 1)? < &end[..] => n,
                    _ => node.search(end)?.unwrap_or_else(|i| i),
                };
                (index..upto, upto == node.count())
            }
            (Direction::Forward, None) => (index..node.count(), true),
            (Direction::Backward, _) => {
                let from = node.search(&self.range.start)?.unwrap_or_else(|i| i);
                (from..index + 1, from == 0)
            }
        };
        let copy = match node.page() {
            PageBuf::Borrowed(_) if !copy => {
                touch(node, &left)?;
                None
            }
            PageBuf::Owned(_) if !copy => None,
            PageBuf::Owned(page) => Some(page.clone()),
            // A range of a few pairs is not worth a copy of the page.
            PageBuf::Borrowed(page)
                if page.len() <= self.snapshot.page_size() && left.len() >= COPY_PAGE_FROM =>
            {
                Some(Bytes::copy_from_slice(page))
            }
            PageBuf::Borrowed(_) => None,
        };
        Ok(Some(Leaf {
            copy,
            left,
            goes_on,
            previous: None,
        }))
    }

    /// Moves to the next pair of the range; the cursor then stands in its leaf.
    fn advance(&mut self, copy: bool) -> Result<Option<LeafEntry>> {
        loop {
            if self.leaf.is_none() {
                self.leaf = self.enter(copy)?;
            }
            let (Some(leaf), Some((node, _))) = (&mut self.leaf, self.cursor.current()) else {
                return Ok(None);
            };
            let index = match self.direction {
                Direction::Forward => leaf.left.next(),
                Direction::Backward => leaf.left.next_back(),
            };
            let Some(index) = index else {
                if !leaf.goes_on {
                    return Ok(None);
                }
                if let Some(previous) = leaf.previous {
                    self.last.clear();
                    self.last.extend_from_slice(node.key(previous)?);
                }
                self.leaf = None;
                self.leave()?;
                continue;
            };
            let entry = node.leaf(index)?;
            let last = match leaf.previous {
                Some(previous) => node.key(previous)?,
                None => &self.last,
            };
            check_order(node, last, node.bytes(&entry.key), self.direction)?;
            leaf.previous = Some(index);
            if !entry.is_bucket() {
                return Ok(Some(entry));
            }
        }
    }

    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        let Some(entry) = self.advance(true)? else {
            return Ok(None);
        };
        let (Some(leaf), Some((node, _))) = (&self.leaf, self.cursor.current()) else {
            return Ok(None);
        };
        Ok(Some(match &leaf.copy {
            Some(copy) => (copy.slice(entry.key), copy.slice(entry.value)),
            None => {
                let take = |range| self.snapshot.take(node, range);
                (take(&entry.key), take(&entry.value))
            }
        }))
    }

    /// Goes on to the next leaf in the direction of the walk.
    fn leave(&mut self) -> Result<()> {
        match self.direction {
            Direction::Forward => self.cursor.next_leaf(),
            Direction::Backward => self.cursor.previous_leaf(),
        }
    }

    /// Shows every pair where it lies, until `visitor` has enough.
    pub(crate) fn visit(&mut self, visitor: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<()> {
        let mut before = Vec::new();
        loop {
            if self.direction == Direction::Forward {
                self.cursor.touch_next();
            }
            let Some(leaf) = self.enter(false)? else {
                break;
            };
            let Some((node, _)) = self.cursor.current() else {
                break;
            };
            let mut last = &before[..];
            for n in 0..leaf.left.len() {
                let index = match self.direction {
                    Direction::Forward => leaf.left.start + n,
                    Direction::Backward => leaf.left.end - 1 - n,
                };
                let entry = node.leaf(index)?;
                let key = node.bytes(&entry.key);
                check_order(node, last, key, self.direction)?;
                last = key;
                if !entry.is_bucket() && !visitor(key, node.bytes(&entry.value)) {
                    return Ok(());
                }
            }
            if !leaf.goes_on {
                break;
            }
            let last = match self.direction {
                Direction::Forward => leaf.left.clone().next_back(),
                Direction::Backward => leaf.left.clone().next(),
            };
            if let Some(last) = last {
                before.clear();
                before.extend_from_slice(node.key(last)?);
            }
            self.leave()?;
        }
        Ok(())
    }
}

impl Scan for TreeScan<'_> {
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        if self.done {
            return Ok(None);
        }
        let next = self.step();
        self.done = !matches!(next, Ok(Some(_)));
        next
    }
}
