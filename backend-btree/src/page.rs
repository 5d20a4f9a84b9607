//! Reading tree pages: every access is checked, nothing is trusted.
//!
//! Called by lookups, scans, commits and checks, on any thread. A [`Node`] is a leaf or branch page, or
//! the page image of an inline bucket.
//!
//! # Invariants
//! 1. A `Node` lies inside the pages of its meta, carries its own id, and its element array fits.
//! 2. Keys and values handed out lie inside the page.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve_backend::bbolt::{
    BRANCH, BUCKET_FLAG, BUCKET_LEN, BranchElement, BucketHeader, ELEMENT_LEN, HEADER_LEN, LEAF,
    LeafElement, PageHeader,
};
use varve_backend::{Error, ErrorKind, Result};

use crate::content::Slice;
use crate::search::{Between, Wanted};
use crate::source::{PageBuf, PageSource};

/// No tree of a sound file is this deep: branches have at least two children.
pub(crate) const MAX_DEPTH: usize = 64;

/// In how many parts a page is divided to say where something stands in it.
pub(crate) const SHARES: usize = 1024;
/// Bytes asked for at the beginning of a page, and around the place where a key is expected.
const ASK_HEAD: usize = 256;
const ASK_PAIR: usize = 192;
/// Values from this size on are asked for page by page: no processor foresees a step to another page.
const ASK_VALUE_FROM: usize = 1024;
/// Pages at which a processor stops to read ahead; not the file's, which may be of any size.
const MEMORY_PAGE: usize = 4096;

/// The pages of one commit.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) source: Arc<dyn PageSource>,
    pub(crate) path: Arc<Path>,
    pub(crate) page_size: usize,
    /// First page that does not belong to the file's content.
    pub(crate) high_water: u64,
}

/// Damage found at a place of the file.
#[cold]
#[inline(never)]
pub(crate) fn corrupt(
    path: &Path,
    offset: u64,
    what: &'static str,
    expected: impl Into<String>,
    found: impl ToString,
) -> Error {
    ErrorKind::Corrupt {
        path: PathBuf::from(path),
        offset,
        what,
        expected: expected.into(),
        found: found.to_string(),
    }
    .into()
}

/// A tree page, or an inline one.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pages: &'a Pages,
    page: PageBuf<'a>,
    /// Where the page header stands in `page`: 0, or inside a leaf for an inline bucket.
    base: usize,
    /// First byte past what belongs to this page.
    end: usize,
    /// Offset of `page` in the file.
    offset: u64,
    header: PageHeader,
}

/// One pair of a leaf, as ranges of the page.
#[derive(Clone, Debug)]
pub(crate) struct LeafEntry {
    pub(crate) flags: u32,
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// The flags of a leaf element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ElementFlags(u32);

impl ElementFlags {
    pub(crate) fn is_bucket(self) -> bool {
        self.0 & BUCKET_FLAG != 0
    }
}

impl LeafEntry {
    pub(crate) fn is_bucket(&self) -> bool {
        self.flags & BUCKET_FLAG != 0
    }
}

impl Pages {
    pub(crate) fn offset(&self, id: u64) -> u64 {
        id.saturating_mul(u64::try_from(self.page_size).unwrap_or(u64::MAX))
    }

    /// Asks for what a search in a page looks at first: its header and first elements, and the place at
    /// `share` of [`SHARES`] of the page, where the key is if it fills its page evenly. The misses of the
    /// caches thus run beside each other, where one had to wait for the other's answer.
    pub(crate) fn ask(&self, id: u64, share: usize) {
        let offset = self.offset(id);
        self.source.prefetch(offset, ASK_HEAD);
        let at = u64::try_from(self.page_size * share / SHARES).unwrap_or(0);
        self.source.prefetch(offset.saturating_add(at), ASK_PAIR);
    }

    /// The header of a tree page, checked against its place.
    pub(crate) fn header(&self, id: u64) -> Result<PageHeader> {
        self.checked_header(id).map(|(header, _)| header)
    }

    fn checked_header(&self, id: u64) -> Result<(PageHeader, PageBuf<'_>)> {
        let offset = self.offset(id);
        if id < 2 || id >= self.high_water {
            let expected = format!("2 to {}", self.high_water.saturating_sub(1));
            return Err(corrupt(&self.path, offset, "page reference", expected, id));
        }
        let page = self.source.read(offset, self.page_size)?;
        let header = PageHeader::decode(&page)
            .ok_or_else(|| corrupt(&self.path, offset, "page header", "16 bytes", page.len()))?;
        if header.id != id {
            return Err(corrupt(
                &self.path,
                offset,
                "page id",
                id.to_string(),
                header.id,
            ));
        }
        if header.flags != LEAF && header.flags != BRANCH {
            let found = format!("{:#x}", header.flags);
            return Err(corrupt(
                &self.path,
                offset + 8,
                "page type",
                "leaf or branch",
                found,
            ));
        }
        let last = id.saturating_add(u64::from(header.overflow));
        if last >= self.high_water {
            let expected = format!("pages below {}", self.high_water);
            return Err(corrupt(&self.path, offset + 12, "overflow", expected, last));
        }
        Ok((header, page))
    }

    /// A leaf or branch page.
    pub(crate) fn node(&self, id: u64) -> Result<Node<'_>> {
        let (header, first) = self.checked_header(id)?;
        let offset = self.offset(id);
        let page = if header.overflow == 0 {
            first
        } else {
            let pages = usize::try_from(header.overflow)
                .unwrap_or(usize::MAX)
                .saturating_add(1);
            self.source
                .read(offset, pages.saturating_mul(self.page_size))?
        };
        let end = page.len();
        let node = Node {
            pages: self,
            page,
            base: 0,
            end,
            offset,
            header,
        };
        node.check_elements()?;
        if node.is_branch() && node.count() == 0 {
            return Err(node.corrupt(10, "branch page", "at least one child", "none"));
        }
        Ok(node)
    }

    /// The leaf that may hold `key` and the key's place in it.
    pub(crate) fn find<'a>(
        &'a self,
        root: Node<'a>,
        key: &[u8],
    ) -> Result<(Node<'a>, std::result::Result<usize, usize>)> {
        let (wanted, mut between) = (Wanted::new(key), Between::default());
        let mut node = root;
        for _ in 0..MAX_DEPTH {
            if !node.is_branch() {
                let place = node.search_between(&wanted, &between)?;
                return Ok((node, place));
            }
            let child = node.child_between(&wanted, &mut between)?;
            let (_, id) = node.branch(child)?;
            self.ask(id, between.share(&wanted));
            node = self.node(id)?;
        }
        Err(node.corrupt(0, "tree depth", format!("at most {MAX_DEPTH}"), "more"))
    }

    /// The root node of a bucket in the bucket of buckets that starts at `root`.
    pub(crate) fn bucket(&self, root: u64, name: &[u8]) -> Result<Option<Node<'_>>> {
        let (leaf, place) = self.find(self.node(root)?, name)?;
        let Ok(index) = place else { return Ok(None) };
        let entry = leaf.leaf(index)?;
        if !entry.is_bucket() {
            return Ok(None);
        }
        leaf.bucket_root(&entry).map(Some)
    }
}

impl<'a> Node<'a> {
    pub(crate) fn is_branch(&self) -> bool {
        self.header.flags == BRANCH
    }

    pub(crate) fn count(&self) -> usize {
        usize::from(self.header.count)
    }

    pub(crate) fn id(&self) -> u64 {
        self.header.id
    }

    /// Pages it takes; an inline node takes none.
    pub(crate) fn page_count(&self) -> u64 {
        if self.base == 0 {
            u64::from(self.header.overflow) + 1
        } else {
            0
        }
    }

    pub(crate) fn page(&self) -> &PageBuf<'a> {
        &self.page
    }

    pub(crate) fn file_offset(&self) -> u64 {
        self.offset
    }

    /// An error at `at` bytes behind this node's header.
    #[cold]
    #[inline(never)]
    pub(crate) fn corrupt(
        &self,
        at: usize,
        what: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Error {
        let at = self
            .offset
            .saturating_add(u64::try_from(self.base + at).unwrap_or(0));
        corrupt(&self.pages.path, at, what, expected, found)
    }

    fn check_elements(&self) -> Result<()> {
        let need = HEADER_LEN + self.count() * ELEMENT_LEN;
        if self.base + need > self.end {
            let expected = format!("elements within {} bytes", self.end - self.base);
            return Err(self.corrupt(10, "element count", expected, self.count()));
        }
        Ok(())
    }

    /// The element array; its length was checked when the node was made.
    fn elements(&self) -> &[[u8; ELEMENT_LEN]] {
        let from = self.base + HEADER_LEN;
        let bytes = self
            .page
            .get(from..from + self.count() * ELEMENT_LEN)
            .unwrap_or(&[]);
        bytes.as_chunks().0
    }

    fn element(&self, index: usize) -> Option<&[u8; ELEMENT_LEN]> {
        self.elements().get(index)
    }

    /// Where `len` bytes lie that begin `pos` bytes behind the start of element `index`, if all of them
    /// are inside the page.
    fn data(&self, index: usize, pos: u32, len: u32) -> Option<Range<usize>> {
        let element = self.base + HEADER_LEN + index * ELEMENT_LEN;
        let start = element.checked_add(usize::try_from(pos).ok()?)?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.end).then_some(start..end)
    }

    /// What is wrong with an element that has no place.
    #[cold]
    #[inline(never)]
    fn bad_element(&self, index: usize) -> Error {
        let at = HEADER_LEN + index * ELEMENT_LEN;
        if index >= self.count() {
            return self.corrupt(10, "element", format!("below {}", self.count()), index);
        }
        let expected = format!("data inside the page of {} bytes", self.end - self.base);
        let found = self.element(index).map(|e| e.escape_ascii().to_string());
        self.corrupt(at, "element", expected, found.unwrap_or_default())
    }

    /// Only the flags of a leaf element: does not touch keys or values.
    pub(crate) fn flags(&self, index: usize) -> Result<ElementFlags> {
        self.element(index)
            .and_then(|bytes| LeafElement::decode(bytes))
            .map(|element| ElementFlags(element.flags))
            .ok_or_else(|| self.bad_element(index))
    }

    fn leaf_entry(&self, index: usize) -> Option<LeafEntry> {
        let element = LeafElement::decode(self.element(index)?)?;
        let key = self.data(index, element.pos, element.key_len)?;
        let end = key
            .end
            .checked_add(usize::try_from(element.value_len).ok()?)?;
        let value = key.end..end;
        (end <= self.end).then_some(LeafEntry {
            flags: element.flags,
            key,
            value,
        })
    }

    pub(crate) fn leaf(&self, index: usize) -> Result<LeafEntry> {
        self.leaf_entry(index)
            .ok_or_else(|| self.bad_element(index))
    }

    /// Asks for the pair of a leaf that is looked at next, if its value is large: for its beginning and for
    /// each page it reaches into. Not for scans: they read ahead as fast as memory gives anyway, and
    /// asking made them slower.
    #[inline]
    pub(crate) fn ask_pair(&self, index: usize) {
        let Some(element) = self.element(index).and_then(|e| LeafElement::decode(e)) else {
            return;
        };
        let value_len = usize::try_from(element.value_len).unwrap_or(0);
        if value_len < ASK_VALUE_FROM || self.is_branch() {
            return;
        }
        let Some(key) = self.data(index, element.pos, element.key_len) else {
            return;
        };
        let (mut at, end) = (key.start, self.end.min(key.end.saturating_add(value_len)));
        while at < end {
            let offset = self.offset.saturating_add(u64::try_from(at).unwrap_or(0));
            self.pages.source.prefetch(offset, ASK_PAIR);
            at = (at / MEMORY_PAGE + 1) * MEMORY_PAGE;
        }
    }

    /// Key range and child of a branch element.
    pub(crate) fn branch(&self, index: usize) -> Result<(Range<usize>, u64)> {
        let place = |element: BranchElement| {
            Some((
                self.data(index, element.pos, element.key_len)?,
                element.child,
            ))
        };
        self.element(index)
            .and_then(|bytes| BranchElement::decode(bytes))
            .and_then(place)
            .ok_or_else(|| self.bad_element(index))
    }

    /// Bytes of the page that stay where they are for as long as the source does.
    pub(crate) fn slice(&self, range: &Range<usize>) -> Slice<'a> {
        match &self.page {
            PageBuf::Borrowed(page) => Slice::Lent(page.get(range.clone()).unwrap_or(&[])),
            PageBuf::Owned(page) if range.end <= page.len() => {
                Slice::Kept(page.slice(range.clone()))
            }
            PageBuf::Owned(_) => Slice::Lent(&[]),
        }
    }

    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.page.get(range.clone()).unwrap_or(&[])
    }

    /// The key of an element of either kind.
    #[inline]
    fn key_bytes(&self, bytes: &[u8; ELEMENT_LEN], index: usize) -> Option<&[u8]> {
        let (pos, len) = if self.is_branch() {
            let element = BranchElement::decode(bytes)?;
            (element.pos, element.key_len)
        } else {
            let element = LeafElement::decode(bytes)?;
            (element.pos, element.key_len)
        };
        self.page.get(self.data(index, pos, len)?)
    }

    #[inline]
    pub(crate) fn key(&self, index: usize) -> Result<&[u8]> {
        self.element(index)
            .and_then(|bytes| self.key_bytes(bytes, index))
            .ok_or_else(|| self.bad_element(index))
    }

    /// The header in a bucket element's value.
    pub(crate) fn bucket_header(&self, entry: &LeafEntry) -> Result<BucketHeader> {
        BucketHeader::decode(self.bytes(&entry.value)).ok_or_else(|| {
            let expected = format!("at least {BUCKET_LEN} bytes");
            self.corrupt(
                entry.value.start - self.base,
                "bucket",
                expected,
                entry.value.len(),
            )
        })
    }

    /// The root node of the bucket an element holds.
    pub(crate) fn bucket_root(&self, entry: &LeafEntry) -> Result<Node<'a>> {
        let header = self.bucket_header(entry)?;
        if header.root != 0 {
            return self.pages.node(header.root);
        }
        let base = entry.value.start + BUCKET_LEN;
        let at = base - self.base;
        let image = self.page.get(base..entry.value.end).unwrap_or(&[]);
        let inline = PageHeader::decode(image)
            .ok_or_else(|| self.corrupt(at, "inline bucket", "a page header", image.len()))?;
        if inline.flags != LEAF {
            let found = format!("{:#x}", inline.flags);
            return Err(self.corrupt(at + 8, "inline bucket", "a leaf", found));
        }
        let node = Node {
            pages: self.pages,
            page: self.page.clone(),
            base,
            end: entry.value.end,
            offset: self.offset,
            header: inline,
        };
        node.check_elements()?;
        Ok(node)
    }
}
