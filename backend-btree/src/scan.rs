//! A range scan over one bucket.
//!
//! A leaf of one page is copied once and its pairs are slices of the copy; what a scan hands out thus
//! keeps at most a page alive, not the commit. Pairs of larger leaves are taken one by one.
use std::cmp::Ordering;

use bytes::Bytes;
use varve_backend::{Direction, KeyRange, Result, Scan};

use crate::cursor::Cursor;
use crate::page::Node;
use crate::snapshot::BtreeSnapshot;
use crate::source::PageBuf;

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
    range: KeyRange,
    direction: Direction,
    /// Copy of the leaf the cursor stands in, with the offset in the file that tells it apart.
    leaf: Option<(u64, Bytes)>,
    last: Option<Bytes>,
    done: bool,
}

/// Fails when `key` does not come behind `last` in the direction of the walk.
pub(crate) fn check_order(
    node: &Node<'_>,
    last: Option<&[u8]>,
    key: &[u8],
    direction: Direction,
) -> Result<()> {
    let wanted = match direction {
        Direction::Forward => Ordering::Greater,
        Direction::Backward => Ordering::Less,
    };
    match last {
        Some(last) if key.cmp(last) != wanted => {
            let expected = format!("a key that sorts {wanted:?} than {}", last.escape_ascii());
            Err(node.corrupt(0, "key order", expected, key.escape_ascii()))
        }
        _ => Ok(()),
    }
}

impl<'a> TreeScan<'a> {
    pub(crate) fn new(
        snapshot: &'a BtreeSnapshot,
        root: Node<'a>,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Self> {
        let pages = &snapshot.state.pages;
        let cursor = match direction {
            Direction::Forward => Cursor::at_or_after(pages, root, &range.start)?,
            Direction::Backward => Cursor::before(pages, root, range.end.as_deref())?,
        };
        let range = range.clone();
        Ok(Self {
            snapshot,
            cursor,
            range,
            direction,
            leaf: None,
            last: None,
            done: false,
        })
    }

    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            let Some((node, index)) = self.cursor.current() else {
                return Ok(None);
            };
            let entry = node.leaf(index)?;
            let key = node.bytes(&entry.key);
            check_order(node, self.last.as_deref(), key, self.direction)?;
            if !self.range.contains(key) {
                return Ok(None);
            }
            let pair = match node.page() {
                PageBuf::Borrowed(page) if page.len() <= self.snapshot.page_size() => {
                    let copy = match &self.leaf {
                        Some((at, copy)) if *at == node.file_offset() => copy,
                        _ => {
                            let copy = Bytes::copy_from_slice(page);
                            &self.leaf.insert((node.file_offset(), copy)).1
                        }
                    };
                    (
                        copy.slice(entry.key.clone()),
                        copy.slice(entry.value.clone()),
                    )
                }
                _ => (
                    self.snapshot.take(node, &entry.key),
                    self.snapshot.take(node, &entry.value),
                ),
            };
            match self.direction {
                Direction::Forward => self.cursor.forward()?,
                Direction::Backward => self.cursor.back()?,
            }
            self.last = Some(pair.0.clone());
            if !entry.is_bucket() {
                return Ok(Some(pair));
            }
        }
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
