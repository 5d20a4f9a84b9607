//! The bytes of bbolt's file format: one definition for every crate that reads or writes it.
//!
//! Used by `backend-btree` (its own format) and by [`export`](crate::Engine::export) of the other
//! engines. Plain encoding and decoding of fixed-size records; trees are built elsewhere.
//!
//! # Layout
//! All integers little-endian. A file is a sequence of pages; page `i` starts at `i * page_size`.
//!
//! | record | bytes | fields |
//! |---|---|---|
//! | page header | 16 | id u64, flags u16, count u16, overflow u32 |
//! | meta body (at 16 in pages 0 and 1) | 64 | magic u32, version u32, page size u32, flags u32, root page u64, root sequence u64, freelist page u64, high water u64, txid u64, FNV-1a of the 56 bytes before u64 |
//! | leaf element | 16 | flags u32, pos u32, key size u32, value size u32 |
//! | branch element | 16 | pos u32, key size u32, child page u64 |
//! | bucket header (a value) | 16 | root page u64 (0: an inline page follows), sequence u64 |
//!
//! `pos` counts from the start of its element. The whole format, with crash analysis, is described in
//! `docs/formats/btree.md`.

#[cfg(test)]
mod tests;

/// Bytes of a page header.
pub const HEADER_LEN: usize = 16;
/// Bytes of a leaf or branch element.
pub const ELEMENT_LEN: usize = 16;
/// Bytes of a meta page that mean something: header and body.
pub const META_LEN: usize = HEADER_LEN + 64;
/// Bytes of a bucket header.
pub const BUCKET_LEN: usize = 16;

/// The page holds branch elements.
pub const BRANCH: u16 = 0x01;
/// The page holds leaf elements.
pub const LEAF: u16 = 0x02;
/// The page holds a meta.
pub const META: u16 = 0x04;
/// The page holds ids of free pages.
pub const FREELIST: u16 = 0x10;

/// Flag of a leaf element whose value is a bucket.
pub const BUCKET_FLAG: u32 = 1;
/// "No freelist page": free pages are those no bucket reaches.
pub const NO_FREELIST: u64 = u64::MAX;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

const _: () = assert!(META_LEN == 80);

fn u16_at(buf: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(buf.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(buf: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(buf.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(buf: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(buf.get(at..at + 8)?.try_into().ok()?))
}

/// The first 16 bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// The page's own number.
    pub id: u64,
    /// Kind of page: one of [`BRANCH`], [`LEAF`], [`META`], [`FREELIST`].
    pub flags: u16,
    /// Number of elements.
    pub count: u16,
    /// Further contiguous pages that belong to this one.
    pub overflow: u32,
}

impl PageHeader {
    /// Reads a header; `None` when there are fewer than 16 bytes.
    pub fn decode(buf: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(buf, 0)?,
            flags: u16_at(buf, 8)?,
            count: u16_at(buf, 10)?,
            overflow: u32_at(buf, 12)?,
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0..8].copy_from_slice(&self.id.to_le_bytes());
        out[8..10].copy_from_slice(&self.flags.to_le_bytes());
        out[10..12].copy_from_slice(&self.count.to_le_bytes());
        out[12..16].copy_from_slice(&self.overflow.to_le_bytes());
        out
    }
}

/// A leaf element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafElement {
    /// [`BUCKET_FLAG`] or 0.
    pub flags: u32,
    /// Distance from the element's first byte to the key's.
    pub pos: u32,
    /// Length of the key.
    pub key_len: u32,
    /// Length of the value, which follows the key.
    pub value_len: u32,
}

impl LeafElement {
    /// Reads an element; `None` when there are fewer than 16 bytes.
    pub fn decode(buf: &[u8]) -> Option<Self> {
        Some(Self {
            flags: u32_at(buf, 0)?,
            pos: u32_at(buf, 4)?,
            key_len: u32_at(buf, 8)?,
            value_len: u32_at(buf, 12)?,
        })
    }

    /// The element's bytes.
    pub fn encode(&self) -> [u8; ELEMENT_LEN] {
        let mut out = [0; ELEMENT_LEN];
        out[0..4].copy_from_slice(&self.flags.to_le_bytes());
        out[4..8].copy_from_slice(&self.pos.to_le_bytes());
        out[8..12].copy_from_slice(&self.key_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.value_len.to_le_bytes());
        out
    }
}

/// A branch element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchElement {
    /// Distance from the element's first byte to the key's.
    pub pos: u32,
    /// Length of the key.
    pub key_len: u32,
    /// Page of the child whose keys start at this one.
    pub child: u64,
}

impl BranchElement {
    /// Reads an element; `None` when there are fewer than 16 bytes.
    pub fn decode(buf: &[u8]) -> Option<Self> {
        Some(Self {
            pos: u32_at(buf, 0)?,
            key_len: u32_at(buf, 4)?,
            child: u64_at(buf, 8)?,
        })
    }

    /// The element's bytes.
    pub fn encode(&self) -> [u8; ELEMENT_LEN] {
        let mut out = [0; ELEMENT_LEN];
        out[0..4].copy_from_slice(&self.pos.to_le_bytes());
        out[4..8].copy_from_slice(&self.key_len.to_le_bytes());
        out[8..16].copy_from_slice(&self.child.to_le_bytes());
        out
    }
}

/// The value of a bucket element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BucketHeader {
    /// Root page; 0 when the bucket's only page follows inline.
    pub root: u64,
    /// A counter the format keeps for its users; etcd does not use it.
    pub sequence: u64,
}

impl BucketHeader {
    /// Reads a header; `None` when there are fewer than 16 bytes.
    pub fn decode(buf: &[u8]) -> Option<Self> {
        Some(Self {
            root: u64_at(buf, 0)?,
            sequence: u64_at(buf, 8)?,
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; BUCKET_LEN] {
        let mut out = [0; BUCKET_LEN];
        out[0..8].copy_from_slice(&self.root.to_le_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        out
    }
}

/// What one of the two meta pages says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of a page of this file.
    pub page_size: u32,
    /// Root page of the bucket of buckets.
    pub root: u64,
    /// Sequence of the bucket of buckets.
    pub sequence: u64,
    /// Page of the freelist, or [`NO_FREELIST`].
    pub freelist: u64,
    /// First page that was never used.
    pub high_water: u64,
    /// Number of the commit; its parity says which meta page it is written to.
    pub txid: u64,
}

/// Why a meta page is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFault {
    /// The field.
    pub what: &'static str,
    /// Its offset from the start of the page.
    pub offset: u64,
    /// What a valid meta has there.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl Meta {
    /// The page this meta is written to.
    pub fn slot(&self) -> u64 {
        self.txid % 2
    }

    /// Reads and verifies the meta of a page (header included).
    pub fn decode(page: &[u8]) -> Result<Self, MetaFault> {
        let fault = |what, offset, expected: String, found: String| MetaFault {
            what,
            offset,
            expected,
            found,
        };
        let short = || {
            let found = format!("{} bytes", page.len());
            fault("meta page", 0, format!("at least {META_LEN} bytes"), found)
        };
        let body = page.get(HEADER_LEN..META_LEN).ok_or_else(short)?;
        let u32_of = |at| u32_at(body, at).ok_or_else(short);
        let u64_of = |at| u64_at(body, at).ok_or_else(short);
        let base = HEADER_LEN as u64;
        let magic = u32_of(0)?;
        if magic != MAGIC {
            return Err(fault(
                "magic",
                base,
                format!("{MAGIC:#x}"),
                format!("{magic:#x}"),
            ));
        }
        let version = u32_of(4)?;
        if version != VERSION {
            return Err(fault(
                "version",
                base + 4,
                VERSION.to_string(),
                version.to_string(),
            ));
        }
        let (sum, stored) = (fnv1a(&body[..56]), u64_of(56)?);
        if sum != stored {
            return Err(fault(
                "checksum",
                base + 56,
                format!("{sum:#x}"),
                format!("{stored:#x}"),
            ));
        }
        Ok(Self {
            page_size: u32_of(8)?,
            root: u64_of(16)?,
            sequence: u64_of(24)?,
            freelist: u64_of(32)?,
            high_water: u64_of(40)?,
            txid: u64_of(48)?,
        })
    }

    /// The header and body for meta page `page` (0 or 1); the rest of the page is zero.
    pub fn encode(&self, page: u64) -> [u8; META_LEN] {
        let header = PageHeader {
            id: page,
            flags: META,
            count: 0,
            overflow: 0,
        };
        let mut out = [0; META_LEN];
        out[..HEADER_LEN].copy_from_slice(&header.encode());
        let body = &mut out[HEADER_LEN..];
        body[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        body[4..8].copy_from_slice(&VERSION.to_le_bytes());
        body[8..12].copy_from_slice(&self.page_size.to_le_bytes());
        body[16..24].copy_from_slice(&self.root.to_le_bytes());
        body[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        body[32..40].copy_from_slice(&self.freelist.to_le_bytes());
        body[40..48].copy_from_slice(&self.high_water.to_le_bytes());
        body[48..56].copy_from_slice(&self.txid.to_le_bytes());
        let sum = fnv1a(&body[..56]);
        body[56..64].copy_from_slice(&sum.to_le_bytes());
        out
    }
}

/// FNV-1a, 64 bits: the checksum of a meta.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Builds the bytes of leaf and branch pages: elements first, then keys and values in their order.
#[derive(Debug)]
pub struct PageBuilder {
    buf: Vec<u8>,
    /// Where the page begins in `buf`.
    start: usize,
    flags: u16,
    count: u16,
    next_element: usize,
}

impl PageBuilder {
    /// A leaf page for `count` elements whose keys and values have `data_len` bytes together.
    pub fn leaf(count: u16, data_len: usize) -> Self {
        Self::leaf_behind(Vec::new(), count, data_len)
    }

    /// A branch page for `count` elements whose keys have `data_len` bytes together.
    pub fn branch(count: u16, data_len: usize) -> Self {
        Self::branch_behind(Vec::new(), count, data_len)
    }

    /// [`leaf`](Self::leaf) behind what is in `buf` already.
    pub fn leaf_behind(buf: Vec<u8>, count: u16, data_len: usize) -> Self {
        Self::new(buf, LEAF, count, data_len)
    }

    /// [`branch`](Self::branch) behind what is in `buf` already.
    pub fn branch_behind(buf: Vec<u8>, count: u16, data_len: usize) -> Self {
        Self::new(buf, BRANCH, count, data_len)
    }

    fn new(mut buf: Vec<u8>, flags: u16, count: u16, data_len: usize) -> Self {
        let start = buf.len();
        let elements = HEADER_LEN + usize::from(count) * ELEMENT_LEN;
        // Room for the rest of the last page as well.
        buf.reserve(elements + data_len + 4096);
        buf.resize(start + elements, 0);
        Self {
            buf,
            start,
            flags,
            count,
            next_element: start + HEADER_LEN,
        }
    }

    /// The distance from the next element to the end of the data so far.
    fn pos(&self) -> u32 {
        u32::try_from(self.buf.len() - self.next_element)
            .expect("the elements of one page stay below 4 GiB: values are limited to 2 GiB")
    }

    fn len32(len: usize) -> u32 {
        u32::try_from(len).expect("keys and values were validated to be below 2 GiB")
    }

    /// Appends a leaf element; to be called exactly `count` times, keys ascending.
    pub fn push_leaf(&mut self, flags: u32, key: &[u8], value: &[u8]) {
        let element = LeafElement {
            flags,
            pos: self.pos(),
            key_len: Self::len32(key.len()),
            value_len: Self::len32(value.len()),
        };
        self.put_element(element.encode());
        self.buf.extend_from_slice(key);
        self.buf.extend_from_slice(value);
    }

    /// Appends leaf elements, each of flags, length of its key and length of its value, whose keys and
    /// values stand one behind the other in `data`, as [`push_leaf`](Self::push_leaf) would one by one.
    pub fn push_leaves(
        &mut self,
        elements: impl Iterator<Item = (u32, usize, usize)>,
        data: &[u8],
    ) {
        let mut at = self.buf.len();
        for (flags, key_len, value_len) in elements {
            let element = LeafElement {
                flags,
                pos: Self::len32(at - self.next_element),
                key_len: Self::len32(key_len),
                value_len: Self::len32(value_len),
            };
            self.put_element(element.encode());
            at += key_len + value_len;
        }
        self.buf.extend_from_slice(data);
    }

    /// Appends a branch element; to be called exactly `count` times, keys ascending.
    pub fn push_branch(&mut self, key: &[u8], child: u64) {
        let element = BranchElement {
            pos: self.pos(),
            key_len: Self::len32(key.len()),
            child,
        };
        self.put_element(element.encode());
        self.buf.extend_from_slice(key);
    }

    fn put_element(&mut self, bytes: [u8; ELEMENT_LEN]) {
        self.buf[self.next_element..self.next_element + ELEMENT_LEN].copy_from_slice(&bytes);
        self.next_element += ELEMENT_LEN;
    }

    /// The finished page under its id, filled with zeros to whole pages of `page_size`, behind what was
    /// in the buffer before.
    pub fn finish(mut self, id: u64, page_size: usize) -> Vec<u8> {
        let pages = (self.buf.len() - self.start).div_ceil(page_size);
        self.buf.resize(self.start + pages * page_size, 0);
        self.put_header(id, Self::len32(pages - 1));
        self.buf
    }

    /// The finished page as it stands behind a bucket header: id 0, no padding.
    pub fn finish_inline(mut self) -> Vec<u8> {
        self.put_header(0, 0);
        self.buf
    }

    fn put_header(&mut self, id: u64, overflow: u32) {
        let header = PageHeader {
            id,
            flags: self.flags,
            count: self.count,
            overflow,
        };
        self.buf[self.start..self.start + HEADER_LEN].copy_from_slice(&header.encode());
    }
}
