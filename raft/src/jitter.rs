//! The only randomness of the protocol, injected: how far past the election timeout a node waits.

use std::fmt;

/// A source of election jitter.
///
/// Members of one cluster must not share a sequence, or they campaign in step and split votes; a
/// simulation wants a sequence it can repeat.
pub trait Jitter: fmt::Debug + Send {
    /// A number of ticks in `0..bound`. `bound` is the election timeout and never zero.
    fn ticks(&mut self, bound: usize) -> usize;
}

/// Jitter from a seed: the same seed gives the same timeouts.
///
/// The generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
/// 2014); spread is all that is asked of it.
#[derive(Clone, Debug)]
pub struct SeededJitter {
    state: u64,
}

impl SeededJitter {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Jitter for SeededJitter {
    fn ticks(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(z % bound).unwrap_or(0)
    }
}
