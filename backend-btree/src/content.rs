//! A tree page in memory while a commit changes it.
//!
//! Made, changed, cut and written by the commit, on the committer's thread. Keys and values lie where
//! they are, in the batch and in the pages of the newest commit, until they are copied into their new
//! page.
use std::ops::{Deref, Range};

use bytes::Bytes;
use varve_backend::Result;
use varve_backend::bbolt::{BUCKET_FLAG, BUCKET_LEN, ELEMENT_LEN, HEADER_LEN, PageBuilder};

use crate::page::{LeafEntry, Node};
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
    /// What is left of a leaf of the file.
    Left(Left<'a>),
}

/// Elements of a leaf of the file, some of which may have gone: what is left of it is copied from page to
/// page, neighbours together.
#[derive(Clone, Debug)]
pub(crate) struct Left<'a> {
    node: Node<'a>,
    entries: Vec<LeafEntry>,
    /// Bytes of the page image.
    size: usize,
}

impl<'a> Left<'a> {
    /// The elements of a leaf without those at `gone`, which ascend.
    fn new(node: &Node<'a>, gone: &[usize]) -> Result<Self> {
        let mut gone = gone.iter().copied().peekable();
        let mut entries = Vec::with_capacity(node.count());
        let mut size = HEADER_LEN;
        for index in 0..node.count() {
            if gone.next_if_eq(&index).is_none() {
                let entry = node.leaf(index)?;
                size += entry_len(&entry);
                entries.push(entry);
            }
        }
        Ok(Self {
            node: node.clone(),
            entries,
            size,
        })
    }

    fn item(&self, entry: &LeafEntry) -> Item<'a> {
        Item {
            flags: entry.flags,
            key: self.node.slice(&entry.key),
            value: self.node.slice(&entry.value),
        }
    }

    fn push(&self, range: Range<usize>, builder: &mut PageBuilder) {
        let follows = |a: &LeafEntry, b: &LeafEntry| a.value.end == b.key.start;
        for row in self.entries[range].chunk_by(follows) {
            if let [first, .., last] | [first @ last] = row {
                let all = first.key.start..last.value.end;
                let elements = row.iter().map(|e| (e.flags, e.key.len(), e.value.len()));
                builder.push_leaves(elements, self.node.bytes(&all));
            }
        }
    }
}

/// Bytes an element of a leaf takes.
pub(crate) fn entry_len(entry: &LeafEntry) -> usize {
    ELEMENT_LEN + entry.key.len() + entry.value.len()
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

    /// What is left of a leaf of the file without the elements at `gone`, which ascend.
    pub(crate) fn left(node: &Node<'a>, gone: &[usize]) -> Result<Self> {
        Ok(Self {
            items: Items::Left(Left::new(node, gone)?),
            shrunk: true,
            appended: false,
            grown: false,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match &self.items {
            Items::Left(left) => left.entries.len(),
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
            Items::Left(left) => return left.size,
            Items::Leaf(items) => items.iter().map(item_len).sum(),
            Items::Branch(children) => children.iter().map(child_len).sum(),
        };
        HEADER_LEN + data
    }

    pub(crate) fn key(&self, index: usize) -> Option<Slice<'a>> {
        match &self.items {
            Items::Leaf(items) => items.get(index).map(|i| i.key.clone()),
            Items::Branch(children) => children.get(index).map(|c| c.key.clone()),
            Items::Left(left) => left.entries.get(index).map(|e| left.node.slice(&e.key)),
        }
    }

    /// Appends the elements of the right neighbour; `false` when the two are of different kinds (a
    /// damaged tree) and nothing was done.
    pub(crate) fn append(&mut self, right: Self) -> bool {
        self.list();
        let mut right = right;
        right.list();
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

    /// Makes a list of what is left of a leaf.
    fn list(&mut self) {
        if let Items::Left(left) = &self.items {
            let items = left.entries.iter().map(|entry| left.item(entry));
            self.items = Items::Leaf(items.collect());
        }
    }

    /// Whether bbolt would keep a bucket with this only page inside its parent.
    pub(crate) fn fits_inline(&self, page_size: usize) -> bool {
        match &self.items {
            Items::Leaf(items) => {
                items.iter().all(|i| i.flags & BUCKET_FLAG == 0) && self.size() <= page_size / 4
            }
            Items::Left(left) => {
                left.entries.iter().all(|e| !e.is_bucket()) && left.size <= page_size / 4
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
            Items::Left(left) => {
                let mut builder = PageBuilder::leaf_behind(buf, count, data);
                left.push(range, &mut builder);
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
            Items::Left(left) => plan.cut(left.entries.iter().map(entry_len), 1),
            Items::Branch(children) => plan.cut(children.iter().map(child_len), 2),
        }
    }
}
