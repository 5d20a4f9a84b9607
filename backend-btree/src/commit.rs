//! Turning a batch into new pages.
//!
//! Run by the engine under its writer lock. A transaction reads the newest commit, builds every changed
//! node in memory, gives it new pages, hands their bytes to [`Out`] and remembers which pages it lets go
//! of. Neither meta is touched here.
//!
//! # Invariants
//! 1. Pages of the newest commit are never written to: a changed node always moves.
//! 2. Every page is in exactly one place: reachable, free, pending, or one of this transaction's.
use bytes::Bytes;
use varve_backend::bbolt::{BUCKET_FLAG, BucketHeader, NO_FREELIST};
use varve_backend::{Batch, Bucket, Op, Result};

use crate::content::{Child, Content, Item, Items, Slice};
use crate::freelist::{FreeList, Run};
use crate::options::BtreeOptions;
use crate::out::Out;
use crate::page::{Node, Pages};
use crate::split::Fill;
use crate::walk::each_run;

mod apply;
mod direct;
mod tail;

/// What happens to one key of a tree.
#[derive(Clone, Debug)]
pub(crate) enum Change<'c> {
    Put {
        flags: u32,
        value: Slice<'c>,
    },
    Delete,
    /// The key holds a bucket whose pages were let go of.
    DeleteBucket,
    /// The leaf moves to another page as it is.
    Move,
    /// Puts alone, from the change's key on, behind all keys of the tree; the last change of all.
    Puts(&'c [(Bytes, Op)]),
}

/// Changes of one tree, by key.
pub(crate) type Changes<'c> = Vec<(&'c [u8], Change<'c>)>;

/// A page to move, by the name of its bucket and its first key.
pub(crate) type Move = (Bytes, Bytes);

/// A commit under construction.
pub(crate) struct Tx<'a> {
    pages: &'a Pages,
    free: &'a mut FreeList,
    options: &'a BtreeOptions,
    pub(crate) out: Out<'a>,
    pub(crate) high_water: u64,
    pub(crate) written: Vec<Run>,
    pub(crate) freed: Vec<Run>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(
        pages: &'a Pages,
        free: &'a mut FreeList,
        options: &'a BtreeOptions,
        out: Out<'a>,
    ) -> Self {
        Self {
            pages,
            free,
            options,
            out,
            high_water: pages.high_water,
            written: Vec::new(),
            freed: Vec::new(),
        }
    }

    /// Gives back what was taken. What was written went to free pages and means nothing.
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

    /// Applies a batch, and moves in ascending order, to the bucket of buckets at `root`; returns its new
    /// root.
    pub(crate) fn apply_batch(&mut self, root: u64, batch: &Batch, moves: &[Move]) -> Result<u64> {
        let mut buckets: Changes<'_> = Vec::new();
        for bucket in batch.buckets() {
            let name = bucket.as_bytes();
            let behind = self.behind(root, batch, bucket)?;
            let before = batch.ops_len(bucket) - behind.len();
            let mut changes: Changes<'_> = Vec::with_capacity(before + 1);
            changes.extend(batch.ops(bucket).take(before).map(change));
            if let Some((first, _)) = behind.first() {
                changes.push((first, Change::Puts(behind)));
            }
            add_moves(&mut changes, moves, name);
            if let Some(change) = self.apply_bucket(root, batch, bucket, &changes)? {
                buckets.push((name, change));
            }
        }
        // What is left moves in buckets the batch does not touch.
        for same in moves.chunk_by(|(a, _), (b, _)| a == b) {
            let Some(name) = same.first().map(|(name, _)| &name[..]) else {
                continue;
            };
            if batch.buckets().any(|bucket| bucket.as_bytes() == name) {
                continue;
            }
            if name.is_empty() {
                add_moves(&mut buckets, moves, name);
                continue;
            }
            let mut changes = Changes::new();
            add_moves(&mut changes, moves, name);
            if let Some((header, content)) = self.load_bucket(root, name, &changes)? {
                let value = self.finish_bucket(header, content, self.options.fill_percent(name))?;
                let change = Change::Put {
                    flags: BUCKET_FLAG,
                    value: Slice::Kept(value),
                };
                match buckets.binary_search_by(|(k, _)| (*k).cmp(name)) {
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
        changes: &Changes<'_>,
    ) -> Result<Option<Change<'static>>> {
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
                value: Slice::Kept(value),
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
                    key: Slice::Lent(key),
                    value: value.clone(),
                });
            }
        }
        let mut content = Content::leaf(items);
        content.appended = true;
        let value = self.finish_bucket(BucketHeader::default(), content, fill)?;
        Ok(Some(Change::Put {
            flags: BUCKET_FLAG,
            value: Slice::Kept(value),
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
    fn load_bucket<'c>(
        &mut self,
        root: u64,
        name: &[u8],
        changes: &'c Changes<'c>,
    ) -> Result<Option<(BucketHeader, Content<'c>)>>
    where
        'a: 'c,
    {
        let Some((leaf, index)) = self.element(root, name)? else {
            return Ok(None);
        };
        let entry = leaf.leaf(index)?;
        let header = leaf.bucket_header(&entry)?;
        let content = if header.root == 0 {
            apply::inline(&leaf.bucket_root(&entry)?, changes)?
        } else {
            self.apply(header.root, changes, self.options.fill_percent(name))?
        };
        Ok(content.map(|content| (header, content)))
    }

    /// Writes a bucket's root and returns the bucket's value.
    fn finish_bucket(
        &mut self,
        old: BucketHeader,
        content: Content<'_>,
        fill: u8,
    ) -> Result<Bytes> {
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
    fn collapse<'c>(&mut self, mut content: Content<'c>) -> Result<Content<'c>>
    where
        'a: 'c,
    {
        loop {
            match &content.items {
                Items::Branch(children) if children.is_empty() => {
                    return Ok(Content::leaf(Vec::new()));
                }
                Items::Branch(children)
                    if children.len() == 1
                        && !self.written.iter().any(|run| run.start == children[0].page) =>
                {
                    content = self.take_child(children[0].page)?;
                }
                _ => return Ok(content),
            }
        }
    }

    /// Writes a root node, adding levels until one page is enough.
    fn finish_root(&mut self, content: Content<'_>, fill: u8) -> Result<u64> {
        let mut content = self.collapse(content)?;
        loop {
            if let Items::Branch(children) = &content.items
                && let [only] = &children[..]
            {
                return Ok(only.page);
            }
            let appended = content.appended;
            let mut children = self.write(content, fill)?;
            if children.len() == 1 {
                return Ok(children.remove(0).page);
            }
            content = Content::branch(children);
            content.appended = appended;
        }
    }

    /// Cuts a node and writes each piece to pages of its own.
    fn write<'c>(&mut self, content: Content<'c>, fill: u8) -> Result<Vec<Child<'c>>> {
        let page_size = self.pages.page_size;
        let pieces = content.cut(self.fill(fill));
        let mut children = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let page = self.allocate(piece.size.div_ceil(page_size) as u64);
            self.out
                .page(page, |buf| content.encode(&piece, buf, page, page_size))?;
            let key = content.key(piece.range.start);
            let key = key.unwrap_or(Slice::Lent(&[]));
            children.push(Child { key, page });
        }
        Ok(children)
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
    pub(crate) fn write_freelist(&mut self) -> Result<u64> {
        if !self.options.freelist_sync {
            return Ok(NO_FREELIST);
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
        let list = crate::persisted::encode(page, pages, &ids, page_size);
        self.out.page(page, |mut buf| {
            buf.extend_from_slice(&list);
            buf
        })?;
        Ok(page)
    }
}

/// What an operation of the batch does to its key.
fn change<'c>((key, op): (&'c Bytes, &'c Op)) -> (&'c [u8], Change<'c>) {
    let change = match op {
        Op::Put(value) => Change::Put {
            flags: 0,
            value: Slice::Lent(value),
        },
        Op::Delete => Change::Delete,
    };
    (key, change)
}

/// Adds the moves of one bucket on keys nothing else happens to.
fn add_moves<'c>(changes: &mut Changes<'c>, moves: &'c [Move], name: &[u8]) {
    for (_, key) in moves.iter().filter(|(n, _)| n[..] == *name) {
        if let Err(at) = changes.binary_search_by(|(k, _)| (*k).cmp(key)) {
            changes.insert(at, (key, Change::Move));
        }
    }
}
