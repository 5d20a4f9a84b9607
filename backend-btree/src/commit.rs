//! Turning a batch into new pages.
//!
//! Run by the engine under its writer lock. A transaction reads the newest commit, builds every changed
//! node in memory, gives it new pages and remembers which pages it lets go of; nothing is written here.
//!
//! # Invariants
//! 1. Pages of the newest commit are never written to: a changed node always moves.
//! 2. Every page is in exactly one place: reachable, free, pending, or one of this transaction's.
use bytes::Bytes;
use varve_backend::bbolt::{BUCKET_FLAG, BucketHeader, NO_FREELIST};
use varve_backend::{Batch, Bucket, Op, Result};

use crate::content::{Child, Content, Fill, Item, Items};
use crate::freelist::{FreeList, Run};
use crate::options::BtreeOptions;
use crate::page::{Node, Pages};
use crate::walk::each_run;

mod apply;

/// What happens to one key of a tree.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put {
        flags: u32,
        value: Bytes,
    },
    Delete,
    /// The key holds a bucket whose pages were let go of.
    DeleteBucket,
    /// The leaf moves to another page as it is.
    Move,
}

pub(crate) type Changes = Vec<(Bytes, Change)>;

/// A commit under construction.
pub(crate) struct Tx<'a> {
    pages: &'a Pages,
    free: &'a mut FreeList,
    options: &'a BtreeOptions,
    pub(crate) high_water: u64,
    /// New pages with their bytes.
    pub(crate) dirty: Vec<(u64, Vec<u8>)>,
    pub(crate) written: Vec<Run>,
    pub(crate) freed: Vec<Run>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(pages: &'a Pages, free: &'a mut FreeList, options: &'a BtreeOptions) -> Self {
        Self {
            pages,
            free,
            options,
            high_water: pages.high_water,
            dirty: Vec::new(),
            written: Vec::new(),
            freed: Vec::new(),
        }
    }

    /// Gives back what was taken; the file was not touched.
    pub(crate) fn abort(self) {
        for run in self.written {
            // What lies past the old mark was never part of the file.
            if run.start < self.pages.high_water {
                self.free.release_run(run);
            }
        }
    }

    /// Takes the free pages at the end of the file out of it; returns the new mark.
    pub(crate) fn free_tail(&mut self) -> Option<u64> {
        let run = self.free.take_tail(self.high_water)?;
        Some(run.start)
    }

    fn fill(&self, append_percent: u8) -> Fill {
        Fill {
            page_size: self.pages.page_size,
            append_percent: usize::from(append_percent),
        }
    }

    fn allocate(&mut self, len: u64) -> u64 {
        let start = self.free.allocate(len).unwrap_or_else(|| {
            let start = self.high_water;
            self.high_water += len;
            start
        });
        self.written.push(Run { start, len });
        start
    }

    pub(crate) fn release(&mut self, run: Run) {
        self.freed.push(run);
    }

    /// Applies a batch (and moves of `(bucket, first key)`) to the bucket of buckets at `root`; returns
    /// its new root.
    pub(crate) fn apply_batch(
        &mut self,
        root: u64,
        batch: &Batch,
        moves: &mut Vec<(Bytes, Bytes)>,
    ) -> Result<u64> {
        moves.sort();
        let mut buckets: Changes = Vec::new();
        for bucket in batch.buckets() {
            let name = bucket.as_bytes();
            let mut changes: Changes = batch
                .ops(bucket)
                .map(|(key, op)| {
                    let change = match op {
                        Op::Put(value) => Change::Put {
                            flags: 0,
                            value: value.clone(),
                        },
                        Op::Delete => Change::Delete,
                    };
                    (key.clone(), change)
                })
                .collect();
            add_moves(&mut changes, moves, name);
            if let Some(change) = self.apply_bucket(root, batch, bucket, &changes)? {
                buckets.push((Bytes::from_static(name), change));
            }
        }
        // What is left moves in buckets the batch does not touch.
        while let Some(name) = moves.first().map(|(name, _)| name.clone()) {
            let mut changes = Changes::new();
            add_moves(&mut changes, moves, &name);
            if name.is_empty() {
                for (key, change) in changes {
                    if let Err(at) = buckets.binary_search_by(|(k, _)| k.cmp(&key)) {
                        buckets.insert(at, (key, change));
                    }
                }
            } else if let Some((header, content)) = self.load_bucket(root, &name, &changes)? {
                let value =
                    self.finish_bucket(header, content, self.options.fill_percent(&name))?;
                let change = Change::Put {
                    flags: BUCKET_FLAG,
                    value,
                };
                match buckets.binary_search_by(|(k, _)| k.cmp(&name)) {
                    // The element was only to be moved; rewriting it moves it.
                    Ok(at) => buckets[at].1 = change,
                    Err(at) => buckets.insert(at, (name, change)),
                }
            }
        }
        let fill = self.options.fill_percent(&[]);
        match self.apply(root, &buckets, fill)? {
            Some(content) => self.finish_root(content, fill),
            None => Ok(root),
        }
    }

    /// The change of a bucket's element in the bucket of buckets; `None` when it stays as it is.
    fn apply_bucket(
        &mut self,
        root: u64,
        batch: &Batch,
        bucket: Bucket,
        changes: &Changes,
    ) -> Result<Option<Change>> {
        let name = bucket.as_bytes();
        let exists = self.element(root, name)?.is_some();
        let fill = self.options.fill_percent(name);
        if exists && !batch.removes(bucket) {
            let Some((header, content)) = self.load_bucket(root, name, changes)? else {
                return Ok(None);
            };
            let value = self.finish_bucket(header, content, fill)?;
            return Ok(Some(Change::Put {
                flags: BUCKET_FLAG,
                value,
            }));
        }
        if exists {
            self.free_bucket(root, name)?;
        }
        if !batch.creates(bucket) {
            return Ok(exists.then_some(Change::DeleteBucket));
        }
        let mut items = Vec::with_capacity(changes.len());
        for (key, change) in changes {
            if let Change::Put { flags, value } = change {
                items.push(Item {
                    flags: *flags,
                    key: key.clone(),
                    value: value.clone(),
                });
            }
        }
        let mut content = Content::leaf(items);
        content.appended = true;
        let value = self.finish_bucket(BucketHeader::default(), content, fill)?;
        Ok(Some(Change::Put {
            flags: BUCKET_FLAG,
            value,
        }))
    }

    /// The leaf and index of a bucket's element.
    fn element(&self, root: u64, name: &[u8]) -> Result<Option<(Node<'a>, usize)>> {
        let (leaf, place) = self.pages.find(self.pages.node(root)?, name)?;
        let Ok(index) = place else { return Ok(None) };
        if !leaf.leaf(index)?.is_bucket() {
            let found = format!("a value under {}", name.escape_ascii());
            return Err(leaf.corrupt(16 + 16 * index, "bucket of buckets", "buckets only", found));
        }
        Ok(Some((leaf, index)))
    }

    /// Applies changes to an existing bucket; `None` when they change nothing.
    fn load_bucket(
        &mut self,
        root: u64,
        name: &[u8],
        changes: &Changes,
    ) -> Result<Option<(BucketHeader, Content)>> {
        let Some((leaf, index)) = self.element(root, name)? else {
            return Ok(None);
        };
        let entry = leaf.leaf(index)?;
        let header = leaf.bucket_header(&entry)?;
        let content = if header.root == 0 {
            apply::leaf(&leaf.bucket_root(&entry)?, changes)?
        } else {
            self.apply(header.root, changes, self.options.fill_percent(name))?
        };
        Ok(content.map(|content| (header, content)))
    }

    /// Writes a bucket's root and returns the bucket's value.
    fn finish_bucket(&mut self, old: BucketHeader, content: Content, fill: u8) -> Result<Bytes> {
        let content = self.collapse(content)?;
        if content.fits_inline(self.pages.page_size) {
            let header = BucketHeader {
                root: 0,
                sequence: old.sequence,
            };
            return Ok(content.inline_value(header.encode()));
        }
        let root = self.finish_root(content, fill)?;
        Ok(Bytes::copy_from_slice(
            &BucketHeader {
                root,
                sequence: old.sequence,
            }
            .encode(),
        ))
    }

    /// Puts its only child in the place of a root, as long as there is only one: a lone leaf may become
    /// inline. A child that this transaction has written already stays where it is.
    fn collapse(&mut self, mut content: Content) -> Result<Content> {
        loop {
            match &content.items {
                Items::Branch(children) if children.is_empty() => {
                    return Ok(Content::leaf(Vec::new()));
                }
                Items::Branch(children)
                    if children.len() == 1
                        && !self.dirty.iter().any(|(id, _)| *id == children[0].page) =>
                {
                    content = self.take_child(children[0].page)?;
                }
                _ => return Ok(content),
            }
        }
    }

    /// Writes a root node, adding levels until one page is enough.
    fn finish_root(&mut self, content: Content, fill: u8) -> Result<u64> {
        let mut content = self.collapse(content)?;
        loop {
            if let Items::Branch(children) = &content.items
                && let [only] = &children[..]
            {
                return Ok(only.page);
            }
            let appended = content.appended;
            let mut children = self.write(content, fill);
            if children.len() == 1 {
                return Ok(children.remove(0).page);
            }
            content = Content::branch(children);
            content.appended = appended;
        }
    }

    /// Splits a node and gives each piece its pages.
    fn write(&mut self, content: Content, fill: u8) -> Vec<Child> {
        let page_size = self.pages.page_size;
        let mut children = Vec::new();
        for piece in content.split(self.fill(fill)) {
            let pages = piece.size().div_ceil(page_size) as u64;
            let page = self.allocate(pages);
            let key = piece.first_key().cloned().unwrap_or_default();
            self.dirty.push((page, piece.encode(page, page_size)));
            children.push(Child { key, page });
        }
        children
    }

    fn free_bucket(&mut self, root: u64, name: &[u8]) -> Result<()> {
        let Some((leaf, index)) = self.element(root, name)? else {
            return Ok(());
        };
        let entry = leaf.leaf(index)?;
        let header = leaf.bucket_header(&entry)?;
        if header.root == 0 {
            return Ok(());
        }
        let freed = &mut self.freed;
        each_run(self.pages, header.root, &mut |run| {
            freed.push(run);
            Ok(())
        })
    }

    /// Writes the freelist page, when the file is to have one. The list holds what is free after this
    /// commit: free pages, pages waiting for readers, and what the commit lets go of, minus its own.
    pub(crate) fn write_freelist(&mut self) -> u64 {
        if !self.options.freelist_sync {
            return NO_FREELIST;
        }
        let page_size = self.pages.page_size;
        // Taking pages for the list can only shorten it.
        let count: u64 = self.free.free_pages()
            + self.free.pending_pages()
            + self.freed.iter().map(|r| r.len).sum::<u64>();
        let pages = (16 + 8 + 8 * count).div_ceil(page_size as u64).max(1);
        let page = self.allocate(pages);
        let mut ids: Vec<u64> = self
            .free
            .runs()
            .chain(self.free.pending_runs())
            .chain(self.freed.iter().copied())
            .flat_map(|run| run.start..run.end())
            .collect();
        ids.sort_unstable();
        self.dirty
            .push((page, crate::persisted::encode(page, pages, &ids, page_size)));
        page
    }
}

/// Takes the moves of one bucket and adds those on keys nothing else happens to.
fn add_moves(changes: &mut Changes, moves: &mut Vec<(Bytes, Bytes)>, name: &[u8]) {
    let (mine, rest) = std::mem::take(moves)
        .into_iter()
        .partition(|(n, _)| &n[..] == name);
    *moves = rest;
    let mine: Vec<(Bytes, Bytes)> = mine;
    for (_, key) in mine {
        if let Err(at) = changes.binary_search_by(|(k, _)| k.cmp(&key)) {
            changes.insert(at, (key, Change::Move));
        }
    }
}
