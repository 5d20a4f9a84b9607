//! A commit as readers see it.
//!
//! Made by [`BtreeEngine::snapshot`](crate::BtreeEngine), read on any thread. Values up to a page are
//! copied out; larger ones, when the file is mapped, borrow from the map and keep the commit's pages
//! from being reused for as long as they live. They also keep the file locked after the engine is
//! dropped: a map holds on to the opened file, which is right, since nobody may write under it.
use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{Bucket, Direction, KeyRange, Result, Scan, Snapshot};

use crate::cursor::Cursor;
use crate::page::Node;
use crate::readers::{Reader, State};
use crate::scan::{NoScan, TreeScan};
use crate::source::{PageBuf, PageSource};

/// A consistent view of one commit of a bbolt file.
#[derive(Debug, Clone)]
pub struct BtreeSnapshot {
    pub(crate) state: Arc<State>,
    pub(crate) reader: Arc<Reader>,
}

/// One element of a bucket, as tools that walk a whole file need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A key with a value.
    Pair(Bytes, Bytes),
    /// A bucket inside the bucket.
    Bucket(Bytes),
}

/// A value inside the map together with what keeps it there.
struct Pinned {
    source: Arc<dyn PageSource>,
    /// Never read: it is registered for as long as it lives.
    _reader: Arc<Reader>,
    offset: u64,
    len: usize,
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        self.source
            .mapped(self.offset, self.len)
            .expect("the range was mapped when it was pinned, and its pages are not given back")
    }
}

/// Values below this are copied even when the map could lend them: a small value must not keep a
/// commit's pages from being reused.
const PIN_FROM: usize = 4096;

impl BtreeSnapshot {
    /// Bytes of a range of a node, copied or pinned.
    pub(crate) fn take(&self, node: &Node<'_>, range: &std::ops::Range<usize>) -> Bytes {
        match node.page() {
            PageBuf::Owned(page) => page.slice(range.clone()),
            PageBuf::Borrowed(page) if range.len() < PIN_FROM => {
                Bytes::copy_from_slice(&page[range.clone()])
            }
            PageBuf::Borrowed(_) => Bytes::from_owner(Pinned {
                source: Arc::clone(&self.state.pages.source),
                _reader: Arc::clone(&self.reader),
                offset: node.file_offset() + range.start as u64,
                len: range.len(),
            }),
        }
    }

    fn root(&self, name: &[u8]) -> Result<Option<Node<'_>>> {
        self.state.bucket(name)
    }

    /// Number of the commit this snapshot shows.
    pub fn txid(&self) -> u64 {
        self.state.meta.txid
    }

    /// Bytes of a page of the file.
    pub fn page_size(&self) -> usize {
        self.state.pages.page_size
    }

    /// Calls `visit` with every element of the bucket at `path` (names from the outermost bucket in; an
    /// empty path is the bucket of buckets) in key order, until it returns `false`. Returns whether the
    /// bucket exists.
    pub fn walk(&self, path: &[&[u8]], visit: &mut dyn FnMut(Element) -> bool) -> Result<bool> {
        let pages = &self.state.pages;
        let mut root = pages.node(self.state.meta.root)?;
        for name in path {
            let (leaf, place) = pages.find(root, name)?;
            let Ok(index) = place else { return Ok(false) };
            let entry = leaf.leaf(index)?;
            if !entry.is_bucket() {
                return Ok(false);
            }
            root = leaf.bucket_root(&entry)?;
        }
        let mut cursor = Cursor::at_or_after(pages, root, &[])?;
        let mut last = Bytes::new();
        while let Some((node, index)) = cursor.current() {
            let entry = node.leaf(index)?;
            let key = self.take(node, &entry.key);
            crate::scan::check_order(node, &last, &key, Direction::Forward)?;
            let element = if entry.is_bucket() {
                Element::Bucket(key.clone())
            } else {
                Element::Pair(key.clone(), self.take(node, &entry.value))
            };
            if !visit(element) {
                break;
            }
            last = key;
            cursor.forward()?;
        }
        Ok(true)
    }
}

impl Snapshot for BtreeSnapshot {
    fn buckets(&self) -> Result<Vec<Bytes>> {
        let mut names = Vec::new();
        self.walk(&[], &mut |element| {
            if let Element::Bucket(name) = element {
                names.push(name);
            }
            true
        })?;
        Ok(names)
    }

    fn has_bucket(&self, bucket: Bucket) -> Result<bool> {
        Ok(self.root(bucket.as_bytes())?.is_some())
    }

    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(root) = self.root(bucket.as_bytes())? else {
            return Ok(None);
        };
        let (leaf, place) = self.state.pages.find(root, key)?;
        let Ok(index) = place else { return Ok(None) };
        let entry = leaf.leaf(index)?;
        Ok((!entry.is_bucket()).then(|| self.take(&leaf, &entry.value)))
    }

    fn get_with(&self, bucket: Bucket, key: &[u8], look: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some(root) = self.root(bucket.as_bytes())? else {
            return Ok(false);
        };
        let (leaf, place) = self.state.pages.find(root, key)?;
        let Ok(index) = place else { return Ok(false) };
        let entry = leaf.leaf(index)?;
        if entry.is_bucket() {
            return Ok(false);
        }
        look(leaf.bytes(&entry.value));
        Ok(true)
    }

    fn scan_bucket_name(
        &self,
        name: &[u8],
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Scan + '_>> {
        let Some(root) = self.root(name)? else {
            return Ok(Box::new(NoScan));
        };
        if range.is_empty() {
            return Ok(Box::new(NoScan));
        }
        Ok(Box::new(TreeScan::new(
            self,
            root,
            Cow::Owned(range.clone()),
            direction,
        )?))
    }

    fn visit(
        &self,
        bucket: Bucket,
        range: &KeyRange,
        direction: Direction,
        visitor: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()> {
        match self.root(bucket.as_bytes())? {
            Some(root) if !range.is_empty() => {
                TreeScan::new(self, root, Cow::Borrowed(range), direction)?.visit(visitor)
            }
            _ => Ok(()),
        }
    }
}
