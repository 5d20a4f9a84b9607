//! A tree page in memory while a commit changes it.
//!
//! Made, changed, cut and written by the commit, on the committer's thread. Keys and values lie where
//! they are, in the batch and in the pages of the newest commit, until they are copied into their new
//! page.
use std::ops::{Deref, Range};

use bytes::Bytes;
use varve_backend::Result;
use varve_backend::bbolt::{BUCKET_FLAG, BUCKET_LEN, ELEMENT_LEN, HEADER_LEN, PageBuilder};

use crate::page::Node;
use crate::split::{Fill, Piece, Plan, Why};

#[cfg(test)]
mod tests;

/// A key or value of the batch or of a page.
#[derive(Clone, Debug)]
pub(crate) enum Slice<'a> {
    /// In the batch or in the map.
    Lent(&'a [u8]),
    /// Of a page that was read, or made by this commit.
    Kept(Bytes),
}

impl Deref for Slice<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Kept(bytes) => bytes,
        }
    }
}

impl PartialEq for Slice<'_> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

/// A key with a value (or a bucket) in a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item<'a> {
    pub(crate) flags: u32,
    pub(crate) key: Slice<'a>,
    pub(crate) value: Slice<'a>,
}

/// A child of a branch under its first key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Child<'a> {
    pub(crate) key: Slice<'a>,
    pub(crate) page: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Items<'a> {
    Leaf(Vec<Item<'a>>),
    Branch(Vec<Child<'a>>),
}

/// A node's elements and what happened to them.
#[derive(Clone, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) items: Items<'a>,
    /// Something was taken out: the node may be worth merging.
    pub(crate) shrunk: bool,
    /// What came in, came in at the end: pages may be filled up.
    pub(crate) appended: bool,
    /// Something came in elsewhere.
    pub(crate) grown: bool,
}

/// Bytes a pair takes on a page.
pub(crate) fn pair_len(key: &[u8], value: &[u8]) -> usize {
    ELEMENT_LEN + key.len() + value.len()
}

fn item_len(item: &Item<'_>) -> usize {
    pair_len(&item.key, &item.value)
}

fn child_len(child: &Child<'_>) -> usize {
    ELEMENT_LEN + child.key.len()
}

impl<'a> Content<'a> {
    pub(crate) fn leaf(items: Vec<Item<'a>>) -> Self {
        Self {
            items: Items::Leaf(items),
            shrunk: false,
            appended: false,
            grown: false,
        }
    }

    pub(crate) fn branch(children: Vec<Child<'a>>) -> Self {
        Self {
            items: Items::Branch(children),
            shrunk: false,
            appended: false,
            grown: false,
        }
    }

    /// The elements of a page of the file, with room for `more`.
    pub(crate) fn load(node: &Node<'a>, more: usize) -> Result<Self> {
        if node.is_branch() {
            let mut children = Vec::with_capacity(node.count() + more);
            for index in 0..node.count() {
                let (key, page) = node.branch(index)?;
                let key = node.slice(&key);
                children.push(Child { key, page });
            }
            return Ok(Self::branch(children));
        }
        let mut items = Vec::with_capacity(node.count() + more);
        for index in 0..node.count() {
            let entry = node.leaf(index)?;
            items.push(Item {
                flags: entry.flags,
                key: node.slice(&entry.key),
                value: node.slice(&entry.value),
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

    pub(crate) fn key(&self, index: usize) -> Option<&Slice<'a>> {
        match &self.items {
            Items::Leaf(items) => items.get(index).map(|i| &i.key),
            Items::Branch(children) => children.get(index).map(|c| &c.key),
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
        self.grown |= right.grown;
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

    fn whole(&self) -> Piece {
        Piece {
            range: 0..self.len(),
            size: self.size(),
        }
    }

    /// The value of a bucket element with this page inline.
    pub(crate) fn inline_value(&self, header: [u8; BUCKET_LEN]) -> Bytes {
        let mut value = Vec::with_capacity(BUCKET_LEN + self.size());
        value.extend_from_slice(&header);
        Bytes::from(self.builder(&self.whole(), value).finish_inline())
    }

    /// Appends the page image of a piece to `buf`, in whole pages.
    pub(crate) fn encode(&self, piece: &Piece, buf: Vec<u8>, id: u64, page_size: usize) -> Vec<u8> {
        self.builder(piece, buf).finish(id, page_size)
    }

    fn builder(&self, piece: &Piece, buf: Vec<u8>) -> PageBuilder {
        let len = piece.range.len();
        let count = u16::try_from(len).expect("a piece of a cut has fewer than 65536 elements");
        let data = piece.size - HEADER_LEN - len * ELEMENT_LEN;
        let range: Range<usize> = piece.range.clone();
        match &self.items {
            Items::Leaf(items) => {
                let mut builder = PageBuilder::leaf_behind(buf, count, data);
                for i in &items[range] {
                    builder.push_leaf(i.flags, &i.key, &i.value);
                }
                builder
            }
            Items::Branch(children) => {
                let mut builder = PageBuilder::branch_behind(buf, count, data);
                for c in &children[range] {
                    builder.push_branch(&c.key, c.page);
                }
                builder
            }
        }
    }

    /// Cuts the node into pieces that get a page, or a run of pages, each.
    pub(crate) fn cut(&self, fill: Fill) -> Vec<Piece> {
        let whole = self.whole();
        if whole.size <= fill.page_size || self.len() < 2 {
            return vec![whole];
        }
        let why = match (self.appended, self.shrunk) {
            (true, _) => Why::Appended,
            (false, false) if self.grown => Why::Grown,
            _ => Why::Kept,
        };
        let plan = Plan::new(whole.size, self.len(), fill, why);
        match &self.items {
            Items::Leaf(items) => plan.cut(items.iter().map(item_len), 1),
            Items::Branch(children) => plan.cut(children.iter().map(child_len), 2),
        }
    }
}
