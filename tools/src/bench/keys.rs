//! Which key request i writes or reads, and the bytes of values.
//!
//! Keys are those of etcd's benchmark: the number of the key as a zigzag varint (Go's
//! `binary.PutVarint`) at the front of a fixed-size buffer. The rest of the buffer is zero here;
//! etcd's tool leaves there what longer numbers wrote before, which makes more keys than asked for.

use std::hash::{BuildHasher, RandomState};

use anyhow::ensure;
use bytes::Bytes;

/// A small fast generator (splitmix64). Load needs spread, not secrecy.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator of `seed`, or of a seed that differs in every run.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(seed.unwrap_or_else(|| RandomState::new().hash_one("varve-bench")))
    }

    /// A generator for one of many clients, independent of its siblings'.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a plain remainder is below 2^-40 for any key space that fits in memory.
        self.next() % bound
    }

    /// `len` random bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Bytes {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(len);
        out.into()
    }
}

/// The keys of a run.
#[derive(Debug, Clone)]
pub(crate) struct KeySpace {
    prefix: Bytes,
    key_size: usize,
    size: u64,
}

impl KeySpace {
    /// `size` keys of `prefix` and `key_size` bytes. Fails when that many do not fit.
    pub(crate) fn new(prefix: &str, key_size: usize, size: u64) -> anyhow::Result<Self> {
        let needed = varint(size.saturating_sub(1)).len();
        ensure!(
            needed <= key_size,
            "--key-space-size {size} needs keys of {needed} bytes, --key-size is {key_size}"
        );
        Ok(Self {
            prefix: Bytes::copy_from_slice(prefix.as_bytes()),
            key_size,
            size,
        })
    }

    /// The key with this number; numbers wrap around at the size of the space.
    pub(crate) fn key(&self, number: u64) -> Bytes {
        let mut key = Vec::with_capacity(self.prefix.len() + self.key_size);
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(&varint(number % self.size));
        key.resize(self.prefix.len() + self.key_size, 0);
        key.into()
    }

    /// A key drawn evenly.
    pub(crate) fn random_key(&self, random: &mut Random) -> Bytes {
        self.key(random.below(self.size))
    }
}

/// Go's varint of a non-negative number: zigzag, then seven bits per byte, low ones first.
fn varint(number: u64) -> Vec<u8> {
    // Doubled: wider than 64 bits for numbers past i64, which Go's tool cannot have.
    let mut rest = u128::from(number) << 1;
    let mut out = Vec::with_capacity(10);
    loop {
        let low = u8::try_from(rest & 0x7f).expect("seven bits fit");
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests;
