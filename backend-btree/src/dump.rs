//! Pages and trees as they are in the file, for tools that print them.
//!
//! Called on a snapshot by inspection tools, on any thread; reads only. Nothing is believed: what a page
//! claims is decoded with the checks of [`page`](crate::page), and a page that is not what it should be
//! is an error that says where.
//!
//! # Not here
//! Finding out whether the file as a whole is sound: [`check`](crate::BtreeEngine::check).
use std::ops::Range;

use bytes::Bytes;
use varve_backend::bbolt::{BRANCH, ELEMENT_LEN, FREELIST, HEADER_LEN, LEAF, Meta, PageHeader};
use varve_backend::{Error, Result};

use crate::page::{MAX_DEPTH, Node, Pages, corrupt};
use crate::snapshot::BtreeSnapshot;
use crate::walk::{PageSet, claim, each_run, freelist_run};

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// One of the two meta pages.
    Meta,
    /// Ids of free pages.
    Freelist,
    /// Keys and the pages below them.
    Branch,
    /// Keys with values or buckets.
    Leaf,
    /// Nothing reaches it; what is in it means nothing.
    Free,
}

/// One page (with its overflow pages) in a listing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Its number.
    pub id: u64,
    /// What it is for.
    pub kind: PageKind,
    /// Elements in it; 0 for metas and free pages.
    pub count: u64,
    /// Further pages that belong to it.
    pub overflow: u64,
}

/// What a leaf holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafValue {
    /// A value.
    Value(Bytes),
    /// A bucket with a tree of its own.
    Bucket {
        /// Its root page.
        root: u64,
        /// Its counter.
        sequence: u64,
    },
    /// A bucket whose only page stands here.
    InlineBucket {
        /// Its counter.
        sequence: u64,
        /// Its pairs.
        pairs: Vec<(Bytes, Bytes)>,
    },
}

/// A page decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageContent {
    /// A meta page that is valid.
    Meta(Meta),
    /// Ids of free pages in the order of the page.
    Freelist(Vec<u64>),
    /// Separators and the pages below them.
    Branch(Vec<(Bytes, u64)>),
    /// Keys and what stands under them.
    Leaf(Vec<(Bytes, LeafValue)>),
}

/// A page with its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageDump {
    /// The header as it is in the file.
    pub header: PageHeader,
    /// Bytes of the page and its overflow pages.
    pub bytes: usize,
    /// Bytes of header, elements, keys and values.
    pub used_bytes: usize,
    /// What is in it.
    pub content: PageContent,
}

/// A page on a walk over the trees of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePage {
    /// Names of the buckets it lies in, from the outermost in; empty for the bucket of buckets.
    pub bucket: Vec<Bytes>,
    /// Levels below the root of its bucket.
    pub depth: usize,
    /// Its number; `None` for the page of an inline bucket, which has none.
    pub id: Option<u64>,
    /// [`PageKind::Branch`] or [`PageKind::Leaf`].
    pub kind: PageKind,
    /// Elements in it.
    pub count: usize,
    /// Further pages that belong to it.
    pub overflow: u64,
    /// Bytes of header, elements, keys and values.
    pub used_bytes: usize,
    /// Its first key, if it has one.
    pub first_key: Option<Bytes>,
}

/// Bytes that mean something in a node.
fn used_bytes(node: &Node<'_>) -> Result<usize> {
    let mut used = HEADER_LEN + node.count() * ELEMENT_LEN;
    for index in 0..node.count() {
        used += if node.is_branch() {
            node.branch(index)?.0.len()
        } else {
            let entry = node.leaf(index)?;
            entry.key.len() + entry.value.len()
        };
    }
    Ok(used)
}

fn copy(node: &Node<'_>, range: &Range<usize>) -> Bytes {
    Bytes::copy_from_slice(node.bytes(range))
}

fn leaf_content(node: &Node<'_>) -> Result<Vec<(Bytes, LeafValue)>> {
    let mut items = Vec::with_capacity(node.count());
    for index in 0..node.count() {
        let entry = node.leaf(index)?;
        let value = if entry.is_bucket() {
            let header = node.bucket_header(&entry)?;
            let sequence = header.sequence;
            if header.root == 0 {
                let inline = node.bucket_root(&entry)?;
                let mut pairs = Vec::with_capacity(inline.count());
                for index in 0..inline.count() {
                    let pair = inline.leaf(index)?;
                    pairs.push((copy(&inline, &pair.key), copy(&inline, &pair.value)));
                }
                LeafValue::InlineBucket { sequence, pairs }
            } else {
                let root = header.root;
                LeafValue::Bucket { root, sequence }
            }
        } else {
            LeafValue::Value(copy(node, &entry.value))
        };
        items.push((copy(node, &entry.key), value));
    }
    Ok(items)
}

fn meta(pages: &Pages, id: u64) -> Result<PageDump> {
    let at = pages.offset(id);
    let page = pages.source.read(at, pages.page_size)?;
    let meta = Meta::decode(&page)
        .map_err(|f| corrupt(&pages.path, at + f.offset, f.what, f.expected, f.found))?;
    let header = PageHeader::decode(&page)
        .ok_or_else(|| corrupt(&pages.path, at, "page header", "16 bytes", page.len()))?;
    Ok(PageDump {
        header,
        bytes: pages.page_size,
        used_bytes: varve_backend::bbolt::META_LEN,
        content: PageContent::Meta(meta),
    })
}

impl BtreeSnapshot {
    /// The page with a number as it is in the file, whether anything reaches it or not.
    ///
    /// An inner page of a run of overflow pages has no header and gives an error, as does a page that was
    /// never written.
    pub fn page(&self, id: u64) -> Result<PageDump> {
        let pages = &self.state.pages;
        if id < 2 {
            return meta(pages, id);
        }
        if id >= pages.high_water {
            let what = format!("page {id}: the file has {} pages", pages.high_water);
            return Err(Error::invalid(what));
        }
        let at = pages.offset(id);
        let first = pages.source.read(at, pages.page_size)?;
        let header = PageHeader::decode(&first)
            .ok_or_else(|| corrupt(&pages.path, at, "page header", "16 bytes", first.len()))?;
        if header.flags == FREELIST {
            let run = freelist_run(pages, id)?;
            let ids = crate::persisted::decode(pages, id)?;
            return Ok(PageDump {
                header,
                bytes: usize::try_from(run.len).unwrap_or(usize::MAX) * pages.page_size,
                used_bytes: HEADER_LEN + 8 * ids.len(),
                content: PageContent::Freelist(ids),
            });
        }
        let node = pages.node(id)?;
        let content = if node.is_branch() {
            let mut children = Vec::with_capacity(node.count());
            for index in 0..node.count() {
                let (key, child) = node.branch(index)?;
                children.push((copy(&node, &key), child));
            }
            PageContent::Branch(children)
        } else {
            PageContent::Leaf(leaf_content(&node)?)
        };
        Ok(PageDump {
            header,
            bytes: node.page().len(),
            used_bytes: used_bytes(&node)?,
            content,
        })
    }

    /// Every page below the high-water mark in the order of the file: what it is for and how much is in
    /// it. Walks all trees first, to know which pages are free.
    pub fn pages(&self) -> Result<Vec<PageInfo>> {
        let (pages, state) = (&self.state.pages, &self.state.meta);
        let mut seen = PageSet::new(pages.high_water);
        let mut used = Vec::new();
        if state.freelist != varve_backend::bbolt::NO_FREELIST {
            let run = freelist_run(pages, state.freelist)?;
            claim(pages, &mut seen, run)?;
            used.push(run);
        }
        each_run(pages, state.root, &mut |run| {
            claim(pages, &mut seen, run)?;
            used.push(run);
            Ok(())
        })?;
        used.sort_unstable_by_key(|run| run.start);
        let info = |id, kind, count, overflow| PageInfo {
            id,
            kind,
            count,
            overflow,
        };
        let mut all = vec![info(0, PageKind::Meta, 0, 0), info(1, PageKind::Meta, 0, 0)];
        let mut next = 2;
        for run in used {
            all.extend((next..run.start).map(|id| info(id, PageKind::Free, 0, 0)));
            let at = pages.offset(run.start);
            let page = pages.source.read(at, pages.page_size)?;
            let header = PageHeader::decode(&page)
                .ok_or_else(|| corrupt(&pages.path, at, "page header", "16 bytes", page.len()))?;
            let (kind, count) = match header.flags {
                BRANCH => (PageKind::Branch, u64::from(header.count)),
                LEAF => (PageKind::Leaf, u64::from(header.count)),
                _ => {
                    let ids = crate::persisted::decode(pages, run.start)?;
                    (PageKind::Freelist, ids.len() as u64)
                }
            };
            all.push(info(run.start, kind, count, run.len - 1));
            next = run.end();
        }
        all.extend((next..pages.high_water).map(|id| info(id, PageKind::Free, 0, 0)));
        Ok(all)
    }

    /// Calls `visit` with every page of all trees, parents first and in key order, until it returns
    /// `false`. Buckets inside of buckets come right behind the leaf that holds them.
    pub fn tree(&self, visit: &mut dyn FnMut(TreePage) -> bool) -> Result<()> {
        let pages = &self.state.pages;
        let mut walk = Walk {
            pages,
            seen: PageSet::new(pages.high_water),
            bucket: Vec::new(),
            visit,
        };
        let root = pages.node(self.state.meta.root)?;
        walk.node(&root, 0, 0).map(|_goes_on| ())
    }
}

struct Walk<'a> {
    pages: &'a Pages,
    seen: PageSet,
    bucket: Vec<Bytes>,
    visit: &'a mut dyn FnMut(TreePage) -> bool,
}

impl Walk<'_> {
    /// Shows a node and what is below it; `false` when the visitor has enough. `level` counts all levels
    /// from the file's root, `depth` those of the bucket.
    fn node(&mut self, node: &Node<'_>, depth: usize, level: usize) -> Result<bool> {
        if level >= MAX_DEPTH {
            return Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"));
        }
        let inline = node.page_count() == 0;
        if !inline {
            let run = crate::freelist::Run {
                start: node.id(),
                len: node.page_count(),
            };
            claim(self.pages, &mut self.seen, run)?;
        }
        let first_key = match node.count() {
            0 => None,
            _ => Some(Bytes::copy_from_slice(node.key(0)?)),
        };
        let shown = TreePage {
            bucket: self.bucket.clone(),
            depth,
            id: (!inline).then_some(node.id()),
            kind: if node.is_branch() {
                PageKind::Branch
            } else {
                PageKind::Leaf
            },
            count: node.count(),
            overflow: node.page_count().saturating_sub(1),
            used_bytes: used_bytes(node)?,
            first_key,
        };
        if !(self.visit)(shown) {
            return Ok(false);
        }
        for index in 0..node.count() {
            if node.is_branch() {
                let child = self.pages.node(node.branch(index)?.1)?;
                if !self.node(&child, depth + 1, level + 1)? {
                    return Ok(false);
                }
            } else if node.flags(index)?.is_bucket() {
                let entry = node.leaf(index)?;
                let root = node.bucket_root(&entry)?;
                self.bucket
                    .push(Bytes::copy_from_slice(node.bytes(&entry.key)));
                let goes_on = self.node(&root, 0, level + 1)?;
                self.bucket.pop();
                if !goes_on {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
