//! Numbers from a seed, by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
//!
//! Plans are drawn from an [`Rng`]. While a plan runs, draws come from [`draw`] instead, keyed by what
//! they are for: leaving an action out of a plan then changes little else, which is what makes plans
//! shrink well.

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.state)
    }

    /// A number in `0..bound`; 0 if `bound` is 0. The bias is of no matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `items`, which are not empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let at = usize::try_from(self.below(items.len() as u64)).expect("below a length");
        items[at]
    }
}

/// A number that depends on the seed, on what it is drawn for, and on how many were drawn for that.
pub fn draw(seed: u64, purpose: u64, count: u64) -> u64 {
    finish(finish(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93)).wrapping_add(count))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
