//! Ids of requests, unique across members and restarts.
//!
//! Source: etcd `pkg/idutil`: 16 low bits of the member id, then 40 bits of unix milliseconds, then an
//! 8-bit counter that carries into the milliseconds when more than 256 ids are drawn in one.
use std::sync::atomic::{AtomicU64, Ordering};

/// Draws ids.
#[derive(Debug)]
pub struct RequestIds {
    prefix: u64,
    suffix: AtomicU64,
}

/// Bits below the member's part.
const SUFFIX_BITS: u32 = 48;

impl RequestIds {
    /// A generator for this member, started at this time.
    pub fn new(member_id: u64, unix_ms: u64) -> Self {
        let suffix = (unix_ms & ((1 << 40) - 1)) << 8;
        Self {
            prefix: (member_id & 0xffff) << SUFFIX_BITS,
            suffix: AtomicU64::new(suffix),
        }
    }

    /// The next id.
    pub fn next_id(&self) -> u64 {
        let suffix = self.suffix.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.prefix | (suffix & ((1 << SUFFIX_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_member_and_never_repeat() {
        let ids = RequestIds::new(0x1234_5678_9abc_def0, 1_700_000_000_000);
        let drawn: Vec<u64> = (0..1000).map(|_| ids.next_id()).collect();
        assert!(drawn.iter().all(|id| id >> SUFFIX_BITS == 0xdef0));
        assert!(drawn.windows(2).all(|w| w[0] < w[1]));
    }
}
