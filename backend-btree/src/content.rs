//! A tree page in memory while a commit changes it.
//!
//! Made, changed, split and written by the commit, on the committer's thread.
use bytes::Bytes;
use varve_backend::Result;
use varve_backend::bbolt::{BUCKET_FLAG, BUCKET_LEN, ELEMENT_LEN, HEADER_LEN, PageBuilder};

use crate::page::Node;

#[cfg(test)]
mod tests;

/// A key with a value (or a bucket) in a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) flags: u32,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// A child of a branch under its first key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) key: Bytes,
    pub(crate) page: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Items {
    Leaf(Vec<Item>),
    Branch(Vec<Child>),
}

/// A node's elements and what happened to them.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) items: Items,
    /// Something was taken out: the node may be worth merging.
    pub(crate) shrunk: bool,
    /// What came in, came in at the end: pages may be filled up.
    pub(crate) appended: bool,
}

fn item_len(item: &Item) -> usize {
    ELEMENT_LEN + item.key.len() + item.value.len()
}

fn child_len(child: &Child) -> usize {
    ELEMENT_LEN + child.key.len()
}

/// How a split fills pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) page_size: usize,
    /// Share of a page that appended keys may fill, in percent.
    pub(crate) append_percent: usize,
}

/// Pages that are split because keys came in between are left this full, so that the next such keys
/// fit, in percent.
const SPLIT_PERCENT: usize = 75;

impl Content {
    pub(crate) fn leaf(items: Vec<Item>) -> Self {
        Self {
            items: Items::Leaf(items),
            shrunk: false,
            appended: false,
        }
    }

    pub(crate) fn branch(children: Vec<Child>) -> Self {
        Self {
            items: Items::Branch(children),
            shrunk: false,
            appended: false,
        }
    }

    /// Copies a page's elements out of the file.
    pub(crate) fn load(node: &Node<'_>) -> Result<Self> {
        let from = node.base();
        let page = node.page().to_bytes(from);
        let slice =
            |range: &std::ops::Range<usize>| page.slice(range.start - from..range.end - from);
        if node.is_branch() {
            let mut children = Vec::with_capacity(node.count() + 1);
            for index in 0..node.count() {
                let (key, child) = node.branch(index)?;
                children.push(Child {
                    key: slice(&key),
                    page: child,
                });
            }
            return Ok(Self::branch(children));
        }
        let mut items = Vec::with_capacity(node.count() + 16);
        for index in 0..node.count() {
            let entry = node.leaf(index)?;
            items.push(Item {
                flags: entry.flags,
                key: slice(&entry.key),
                value: slice(&entry.value),
            });
        }
        Ok(Self::leaf(items))
    }

    pub(crate) fn len(&self) -> usize {
        match &self.items {
            Items::Leaf(items) => items.len(),
            Items::Branch(children) => children.len(),
        }
    }

    pub(crate) fn is_branch(&self) -> bool {
        matches!(self.items, Items::Branch(_))
    }

    /// Bytes of the page image.
    pub(crate) fn size(&self) -> usize {
        let data: usize = match &self.items {
            Items::Leaf(items) => items.iter().map(item_len).sum(),
            Items::Branch(children) => children.iter().map(child_len).sum(),
        };
        HEADER_LEN + data
    }

    pub(crate) fn first_key(&self) -> Option<&Bytes> {
        match &self.items {
            Items::Leaf(items) => items.first().map(|i| &i.key),
            Items::Branch(children) => children.first().map(|c| &c.key),
        }
    }

    /// Appends the elements of the right neighbour; `false` when the two are of different kinds (a
    /// damaged tree) and nothing was done.
    pub(crate) fn append(&mut self, right: Self) -> bool {
        match (&mut self.items, right.items) {
            (Items::Leaf(left), Items::Leaf(right)) => left.extend(right),
            (Items::Branch(left), Items::Branch(right)) => left.extend(right),
            _ => return false,
        }
        self.shrunk |= right.shrunk;
        self.appended = false;
        true
    }

    /// Whether bbolt would keep a bucket with this only page inside its parent.
    pub(crate) fn fits_inline(&self, page_size: usize) -> bool {
        match &self.items {
            Items::Leaf(items) => {
                items.iter().all(|i| i.flags & BUCKET_FLAG == 0) && self.size() <= page_size / 4
            }
            Items::Branch(_) => false,
        }
    }

    /// The value of a bucket element with this page inline.
    pub(crate) fn inline_value(&self, header: [u8; BUCKET_LEN]) -> Bytes {
        let mut value = Vec::with_capacity(BUCKET_LEN + self.size());
        value.extend_from_slice(&header);
        value.extend_from_slice(&self.builder().finish_inline());
        Bytes::from(value)
    }

    /// The page image under an id, in whole pages.
    pub(crate) fn encode(&self, id: u64, page_size: usize) -> Vec<u8> {
        self.builder().finish(id, page_size)
    }

    fn builder(&self) -> PageBuilder {
        let count = u16::try_from(self.len()).expect("a split leaves fewer than 65536 elements");
        let data = self.size() - HEADER_LEN - self.len() * ELEMENT_LEN;
        match &self.items {
            Items::Leaf(items) => {
                let mut builder = PageBuilder::leaf(count, data);
                for i in items {
                    builder.push_leaf(i.flags, &i.key, &i.value);
                }
                builder
            }
            Items::Branch(children) => {
                let mut builder = PageBuilder::branch(count, data);
                for c in children {
                    builder.push_branch(&c.key, c.page);
                }
                builder
            }
        }
    }

    /// Cuts the node into pieces that fit a page each; an element larger than a page stays alone (a
    /// branch keeps two) and takes overflow pages.
    pub(crate) fn split(self, fill: Fill) -> Vec<Self> {
        let total = self.size();
        if total <= fill.page_size || self.len() < 2 {
            return vec![self];
        }
        let (shrunk, appended) = (self.shrunk, self.appended);
        let plan = Plan::new(total, fill, appended, shrunk);
        let make = |items| Self {
            items,
            shrunk,
            appended,
        };
        match self.items {
            Items::Leaf(items) => plan
                .cut(items, item_len, 1)
                .into_iter()
                .map(|p| make(Items::Leaf(p)))
                .collect(),
            Items::Branch(children) => {
                let pieces = plan.cut(children, child_len, 2);
                pieces.into_iter().map(|p| make(Items::Branch(p))).collect()
            }
        }
    }
}

/// Where a split cuts: behind the element that brings the running total to the next multiple of
/// `share`, and before one that would not fit `limit`.
struct Plan {
    share: usize,
    limit: usize,
}

impl Plan {
    fn new(total: usize, fill: Fill, appended: bool, shrunk: bool) -> Self {
        if appended {
            let limit = fill.page_size * fill.append_percent / 100;
            return Self {
                share: usize::MAX,
                limit,
            };
        }
        // Where keys go away, none are expected to come in between soon: fill up as if appended.
        let percent = if shrunk {
            fill.append_percent
        } else {
            SPLIT_PERCENT
        };
        let pieces = total.div_ceil(fill.page_size * percent / 100).max(2);
        Self {
            share: total.div_ceil(pieces),
            limit: fill.page_size,
        }
    }

    fn cut<T>(&self, elements: Vec<T>, len_of: impl Fn(&T) -> usize, least: usize) -> Vec<Vec<T>> {
        let mut pieces: Vec<Vec<T>> = Vec::new();
        let mut piece: Vec<T> = Vec::new();
        let (mut size, mut seen) = (HEADER_LEN, 0);
        for element in elements {
            let len = len_of(&element);
            let share_full =
                seen / self.share > (seen.saturating_sub(size - HEADER_LEN)) / self.share;
            if piece.len() >= least && (size + len > self.limit || share_full) {
                pieces.push(std::mem::take(&mut piece));
                size = HEADER_LEN;
            }
            size += len;
            seen += len;
            piece.push(element);
        }
        match pieces.last_mut() {
            Some(last) if piece.len() < least => last.append(&mut piece),
            _ => pieces.push(piece),
        }
        pieces
    }
}
