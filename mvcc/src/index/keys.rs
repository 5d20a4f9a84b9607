//! The sorted keys of one tree node, packed: the common prefix once, then the suffixes in a row.
//!
//! Used by `tree` alone. A node is copied whenever a transaction changes it while a snapshot holds it, so
//! keys are plain bytes in three vectors: a copy is three `memcpy`s and touches no reference count.
//!
//! A search first counts how many heads (first four bytes of a suffix) are smaller, over the whole dense
//! array and without a branch. In a large index nothing of a node is in a cache, and this way its lines
//! are fetched side by side and not one after the other, as halving would.
//!
//! # Invariants
//!
//! 1. Keys ascend strictly (checked by `tree`'s model test).
//! 2. The first `prefix_len` bytes are a prefix of every key, not always the longest one.
//! 3. `heads[i]` is the head of suffix `i`; heads ascend, since a head sorts like its suffix.

use std::cmp::Ordering;
use std::ops::Range;

/// Keys in ascending order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The prefix, then the suffixes.
    bytes: Vec<u8>,
    prefix_len: u32,
    heads: Vec<u32>,
    /// End of each suffix in `bytes`.
    ends: Vec<u32>,
}

/// Keys a node that grows makes room for at once. Doubling would leave a third of all memory unused.
const ROOM_KEYS: usize = 8;

/// Room for so many more, in a vector that is full.
pub(super) fn make_room<T>(vec: &mut Vec<T>, wanted: usize, at_once: usize) {
    if vec.capacity() - vec.len() < wanted {
        vec.reserve_exact(wanted.max(at_once));
    }
}

impl Clone for Keys {
    /// Leaves room for one more key: a node is copied when something is about to be inserted.
    fn clone(&self) -> Self {
        fn copy<T: Copy>(from: &[T], room: usize) -> Vec<T> {
            let mut to = Vec::with_capacity(from.len() + room);
            to.extend_from_slice(from);
            to
        }
        Self {
            bytes: copy(&self.bytes, 32),
            prefix_len: self.prefix_len,
            heads: copy(&self.heads, 1),
            ends: copy(&self.ends, 1),
        }
    }
}

/// How many bytes two keys have in common, looking at eight at a time.
pub(super) fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    let (eights_of_a, _) = a.as_chunks::<8>();
    let (eights_of_b, _) = b.as_chunks::<8>();
    let eights = eights_of_a.iter().zip(eights_of_b);
    let whole = 8 * eights.take_while(|(x, y)| x == y).count();
    let rest = a[whole..].iter().zip(&b[whole..]);
    whole + rest.take_while(|(x, y)| x == y).count()
}

/// A key in two parts, to be read one after the other.
pub(super) type Parts<'a> = [&'a [u8]; 2];

/// A key without its first `len` bytes.
fn beyond([a, b]: Parts<'_>, len: usize) -> Parts<'_> {
    match a.get(len..) {
        Some(a) => [a, b],
        None => [&[], &b[len - a.len()..]],
    }
}

/// How many bytes two keys have in common.
pub(super) fn common_parts_len(a: Parts<'_>, b: Parts<'_>) -> usize {
    fn bytes([a, b]: Parts<'_>) -> impl Iterator<Item = &u8> {
        a.iter().chain(b)
    }
    let both = bytes(a).zip(bytes(b));
    both.take_while(|(x, y)| x == y).count()
}

fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("a node holds few keys, each far below 4 GiB")
}

/// The first four bytes, filled up with zeros: it never sorts behind that of a greater suffix.
fn head(suffix: &[u8]) -> u32 {
    if let Some(first) = suffix.first_chunk() {
        return u32::from_be_bytes(*first);
    }
    let mut bytes = [0; 4];
    bytes[..suffix.len()].copy_from_slice(suffix);
    u32::from_be_bytes(bytes)
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn prefix_len(&self) -> usize {
        self.prefix_len as usize
    }

    fn start(&self, i: usize) -> usize {
        i.checked_sub(1)
            .map_or(self.prefix_len(), |i| self.ends[i] as usize)
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[..self.prefix_len()]
    }

    pub(super) fn suffix(&self, i: usize) -> &[u8] {
        &self.bytes[self.start(i)..self.ends[i] as usize]
    }

    /// Key `i`, in parts.
    pub(super) fn parts(&self, i: usize) -> Parts<'_> {
        [self.prefix(), self.suffix(i)]
    }

    /// Key `i`, whole.
    pub(super) fn to_vec(&self, i: usize) -> Vec<u8> {
        self.parts(i).concat()
    }

    /// Bytes of memory behind this node's keys.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + (self.heads.capacity() + self.ends.capacity()) * size_of::<u32>()
    }

    /// Where `key` is, or where it would be inserted.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let prefix = self.prefix();
        let shared = prefix.len().min(key.len());
        match key[..shared].cmp(&prefix[..shared]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal if key.len() < prefix.len() => return Err(0),
            Ordering::Equal => {}
        }
        let suffix = &key[prefix.len()..];
        let equal = self.with_head(head(suffix));
        let (mut low, mut high) = (equal.start, equal.end);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.suffix(middle).cmp(suffix) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// The keys whose suffixes have this head.
    fn with_head(&self, wanted: u32) -> Range<usize> {
        let (mut smaller, mut equal) = (0, 0);
        for head in &self.heads {
            // Never as many as would wrap; a checked sum would not be done four at a time.
            smaller = u32::wrapping_add(smaller, u32::from(*head < wanted));
            equal = u32::wrapping_add(equal, u32::from(*head == wanted));
        }
        smaller as usize..smaller as usize + equal as usize
    }

    /// Whether `key` is greater than all, and there is one.
    pub(super) fn is_behind_last(&self, key: &[u8]) -> bool {
        let Some(last) = self.len().checked_sub(1) else {
            return false;
        };
        let shared = self.prefix_len().min(key.len());
        match key[..shared].cmp(self.prefix()) {
            Ordering::Equal => &key[shared..] > self.suffix(last),
            unequal => unequal == Ordering::Greater,
        }
    }

    /// Inserts `key` before key `i`.
    pub(super) fn insert(&mut self, i: usize, key: &[u8]) {
        if self.ends.is_empty() {
            self.bytes.clear();
            self.bytes.extend_from_slice(key);
            self.prefix_len = offset(key.len());
        } else {
            let shared = common_prefix_len(self.prefix(), key);
            if shared < self.prefix_len() {
                self.shorten_prefix(shared);
            }
        }
        let suffix = &key[self.prefix_len()..];
        let (at, before) = (self.start(i), self.bytes.len());
        // Now that the sum fits, no end can wrap.
        let len = offset(before + suffix.len()) - offset(before);
        make_room(&mut self.bytes, suffix.len(), suffix.len() * ROOM_KEYS);
        self.bytes.resize(before + suffix.len(), 0);
        self.bytes.copy_within(at..before, at + suffix.len());
        self.bytes[at..at + suffix.len()].copy_from_slice(suffix);
        for end in &mut self.ends[i..] {
            *end = end.wrapping_add(len);
        }
        make_room(&mut self.ends, 1, ROOM_KEYS);
        self.ends.insert(i, offset(at) + len);
        make_room(&mut self.heads, 1, ROOM_KEYS);
        self.heads.insert(i, head(suffix));
    }

    pub(super) fn remove(&mut self, i: usize) {
        let (start, end) = (self.start(i), self.ends[i] as usize);
        self.bytes.drain(start..end);
        self.ends.remove(i);
        self.heads.remove(i);
        let len = offset(end - start);
        for end in &mut self.ends[i..] {
            *end = end.wrapping_sub(len);
        }
    }

    /// Takes the keys from `i` on away and returns them; both halves find their own prefix.
    pub(super) fn split_off(&mut self, i: usize) -> Self {
        let right = self.rebuilt(i..self.len());
        *self = self.rebuilt(0..i);
        right
    }

    /// Appends the keys of `right`, all of which are greater.
    pub(super) fn append(&mut self, right: &Self) {
        for i in 0..right.len() {
            self.insert(self.len(), &right.to_vec(i));
        }
    }

    /// The keys of `range` with their longest common prefix and no spare memory.
    fn rebuilt(&self, range: Range<usize>) -> Self {
        Self::of(range, |i| self.parts(i))
    }

    fn shorten_prefix(&mut self, len: usize) {
        *self = Self::gather(0..self.len(), |i| self.parts(i), len);
    }

    /// Ascending keys, packed with their longest common prefix and no spare memory.
    pub(super) fn of<'a>(range: Range<usize>, key: impl Fn(usize) -> Parts<'a>) -> Self {
        if range.is_empty() {
            return Self::default();
        }
        // Keys are sorted, so what the first and the last share all of them share.
        let shared = common_parts_len(key(range.start), key(range.end - 1));
        Self::gather(range, key, shared)
    }

    /// The keys of a range that is not empty, which have at least `prefix_len` bytes in common.
    fn gather<'a>(
        range: Range<usize>,
        key: impl Fn(usize) -> Parts<'a>,
        prefix_len: usize,
    ) -> Self {
        let suffixes = range.clone().map(|i| beyond(key(i), prefix_len));
        let total: usize = suffixes.clone().map(|[a, b]| a.len() + b.len()).sum();
        let [a, b] = key(range.start);
        let mut bytes = Vec::with_capacity(prefix_len + total);
        bytes.extend(a.iter().chain(b).take(prefix_len));
        let mut heads = Vec::with_capacity(range.len());
        let mut ends = Vec::with_capacity(range.len());
        for [a, b] in suffixes {
            let start = bytes.len();
            bytes.extend_from_slice(a);
            bytes.extend_from_slice(b);
            heads.push(head(&bytes[start..]));
            ends.push(offset(bytes.len()));
        }
        Self {
            bytes,
            prefix_len: offset(prefix_len),
            heads,
            ends,
        }
    }
}
