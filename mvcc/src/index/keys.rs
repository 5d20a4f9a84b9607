//! The sorted keys of one tree node, packed: the common prefix once, then the suffixes in a row.
//!
//! Used by `tree` alone. A node is copied whenever a transaction changes it, so keys are plain bytes
//! in two vectors: a copy is two `memcpy`s and touches no reference count.
//!
//! # Invariants
//!
//! 1. Keys ascend strictly (checked by `tree`'s model test).
//! 2. `prefix` is a prefix of every key, not always the longest one.

use std::cmp::Ordering;

/// Keys in ascending order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    prefix: Box<[u8]>,
    suffixes: Vec<u8>,
    /// End of each suffix in `suffixes`.
    ends: Vec<u32>,
}

impl Clone for Keys {
    /// Leaves room for one more key: a node is copied when something is about to be inserted.
    fn clone(&self) -> Self {
        let mut suffixes = Vec::with_capacity(self.suffixes.len() + 32);
        suffixes.extend_from_slice(&self.suffixes);
        let mut ends = Vec::with_capacity(self.ends.len() + 1);
        ends.extend_from_slice(&self.ends);
        Self {
            prefix: self.prefix.clone(),
            suffixes,
            ends,
        }
    }
}

fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("a node holds few keys, each far below 4 GiB")
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn start(&self, i: usize) -> usize {
        i.checked_sub(1).map_or(0, |i| self.ends[i] as usize)
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn suffix(&self, i: usize) -> &[u8] {
        &self.suffixes[self.start(i)..self.ends[i] as usize]
    }

    /// Key `i`, whole.
    pub(super) fn to_vec(&self, i: usize) -> Vec<u8> {
        [&self.prefix, self.suffix(i)].concat()
    }

    /// Bytes of memory behind this node's keys.
    pub(super) fn heap_bytes(&self) -> usize {
        self.prefix.len() + self.suffixes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// Where `key` is, or where it would be inserted.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let shared = self.prefix.len().min(key.len());
        match key[..shared].cmp(&self.prefix[..shared]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal if key.len() < self.prefix.len() => return Err(0),
            Ordering::Equal => {}
        }
        let key = &key[self.prefix.len()..];
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.suffix(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether `key` is greater than all, and there is one.
    pub(super) fn is_behind_last(&self, key: &[u8]) -> bool {
        let Some(last) = self.len().checked_sub(1) else {
            return false;
        };
        let shared = self.prefix.len().min(key.len());
        match key[..shared].cmp(&self.prefix) {
            Ordering::Equal => &key[shared..] > self.suffix(last),
            unequal => unequal == Ordering::Greater,
        }
    }

    /// Inserts `key` before key `i`.
    pub(super) fn insert(&mut self, i: usize, key: &[u8]) {
        if self.ends.is_empty() {
            self.prefix = key.into();
            self.suffixes.clear();
        } else {
            let shared = common_prefix_len(&self.prefix, key);
            if shared < self.prefix.len() {
                self.shorten_prefix(shared);
            }
        }
        let suffix = &key[self.prefix.len()..];
        let at = self.start(i);
        let tail = self.suffixes.len() - at;
        self.suffixes.extend_from_slice(suffix);
        self.suffixes[at..].rotate_left(tail);
        let len = offset(suffix.len());
        for end in &mut self.ends[i..] {
            *end += len;
        }
        self.ends.insert(i, offset(at) + len);
    }

    pub(super) fn remove(&mut self, i: usize) {
        let (start, end) = (self.start(i), self.ends[i] as usize);
        self.suffixes.drain(start..end);
        self.ends.remove(i);
        let len = offset(end - start);
        for end in &mut self.ends[i..] {
            *end -= len;
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
    fn rebuilt(&self, range: std::ops::Range<usize>) -> Self {
        if range.is_empty() {
            return Self::default();
        }
        // Keys are sorted, so what the first and the last share all of them share.
        let (first, last) = (self.suffix(range.start), self.suffix(range.end - 1));
        let shared = common_prefix_len(first, last);
        let prefix = [&self.prefix[..], &first[..shared]].concat().into();
        let total: usize = range.clone().map(|i| self.suffix(i).len() - shared).sum();
        let mut suffixes = Vec::with_capacity(total);
        let mut ends = Vec::with_capacity(range.len());
        for i in range {
            suffixes.extend_from_slice(&self.suffix(i)[shared..]);
            ends.push(offset(suffixes.len()));
        }
        Self {
            prefix,
            suffixes,
            ends,
        }
    }

    fn shorten_prefix(&mut self, len: usize) {
        let moved = self.prefix[len..].to_vec();
        let mut suffixes = Vec::with_capacity(self.suffixes.len() + moved.len() * self.len());
        let mut ends = Vec::with_capacity(self.len() + 1);
        for i in 0..self.len() {
            suffixes.extend_from_slice(&moved);
            suffixes.extend_from_slice(self.suffix(i));
            ends.push(offset(suffixes.len()));
        }
        self.prefix = self.prefix[..len].into();
        self.suffixes = suffixes;
        self.ends = ends;
    }
}
