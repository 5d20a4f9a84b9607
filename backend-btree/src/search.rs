//! Finding a key on a page.
//!
//! Called by lookups and scans on their way down. Revisions are numbers that grow: between two
//! separators their keys are nearly evenly spread. So the first place looked at is the one where a key
//! would stand if they were; on a page of revisions that is the right one or its neighbour, and instead
//! of half a dozen places of a page that is in no cache one or two are touched. From a wrong guess the
//! search goes on in doubling steps and then by halves: keys that are not spread evenly cost a few
//! comparisons more than without the guess.
//!
//! # Invariants
//! 1. Guesses choose where to look, comparisons alone decide: what is found does not depend on them.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]
use std::cmp::Ordering;

use varve_backend::Result;

use crate::page::{Node, SHARES};

#[cfg(test)]
mod tests;

/// With fewer elements there is nothing to guess. Two are worth it: if their values are large, each look
/// is at a page of its own.
const GUESS_FROM: usize = 2;

/// The part of a page before its keys, in parts of [`SHARES`].
const ELEMENTS_SHARE: usize = SHARES / 16;

/// A key with its first eight bytes as a number that sorts like them.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'k> {
    key: &'k [u8],
    head: u64,
}

impl<'k> Wanted<'k> {
    pub(crate) fn new(key: &'k [u8]) -> Self {
        let head = head(key);
        Self { key, head }
    }

    /// How `found` compares with the key.
    #[inline]
    fn compare(&self, found: &[u8]) -> Ordering {
        match (found.split_first_chunk(), self.key.split_at_checked(8)) {
            (Some((first, rest)), Some((_, mine))) => u64::from_be_bytes(*first)
                .cmp(&self.head)
                .then_with(|| rest.cmp(mine)),
            _ => found.cmp(self.key),
        }
    }
}

/// The first eight bytes of a key as a number, filled up with zeros.
fn head(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
}

/// What the pages above say of the keys of a page: heads of the separators on both sides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Between {
    low: Option<u64>,
    high: Option<u64>,
}

impl Between {
    /// Where in its page a key is expected, in parts of [`SHARES`].
    pub(crate) fn share(&self, wanted: &Wanted<'_>) -> usize {
        match (self.low, self.high) {
            (Some(low), Some(high)) => {
                // Elements take a sixteenth of a page whose pairs have 256 bytes.
                ELEMENTS_SHARE + place(wanted.head, low, high, SHARES - ELEMENTS_SHARE)
            }
            _ => ELEMENTS_SHARE,
        }
    }
}

/// Where a number would stand among `intervals` equal ones from `low` to `high`.
fn place(wanted: u64, low: u64, high: u64, intervals: usize) -> usize {
    let (span, off) = (high.saturating_sub(low), wanted.saturating_sub(low));
    if off >= span {
        return intervals;
    }
    let intervals = u64::try_from(intervals).unwrap_or(0);
    // `intervals` has at most 16 bits: with that much room above `span` the product fits.
    let shift = 16u32.saturating_sub(span.leading_zeros());
    let at = (off >> shift).saturating_mul(intervals) / (span >> shift).max(1);
    usize::try_from(at).unwrap_or(0)
}

impl Node<'_> {
    /// Place of a key among this node's keys.
    pub(crate) fn search(&self, key: &[u8]) -> Result<std::result::Result<usize, usize>> {
        self.halve(&Wanted::new(key), 0, self.count())
    }

    /// The same for a key that does not stand among the first `low`. Keys that are looked for in their
    /// order often stand next to each other: `low` is looked at first.
    pub(crate) fn search_from(
        &self,
        key: &[u8],
        low: usize,
    ) -> Result<std::result::Result<usize, usize>> {
        let wanted = Wanted::new(key);
        if low >= self.count() {
            return Ok(Err(low));
        }
        match wanted.compare(self.key(low)?) {
            Ordering::Equal => Ok(Ok(low)),
            Ordering::Greater => Ok(Err(low)),
            Ordering::Less => self.halve(&wanted, low + 1, self.count()),
        }
    }

    /// The same with what is known of the keys of this node.
    pub(crate) fn search_between(
        &self,
        wanted: &Wanted<'_>,
        between: &Between,
    ) -> Result<std::result::Result<usize, usize>> {
        let count = self.count();
        if count < GUESS_FROM {
            return self.halve(wanted, 0, count);
        }
        let (low, high, intervals) = match (between.low, between.high) {
            (Some(low), Some(high)) => (low, high, count),
            (low, _) => {
                let low = match low {
                    Some(low) => low,
                    None => head(self.key(0)?),
                };
                (low, head(self.key(count - 1)?), count - 1)
            }
        };
        let guess = place(wanted.head, low, high, intervals).min(count - 1);
        self.gallop(wanted, guess)
    }

    /// Looks at `guess` and then, in doubling steps, where the key must be from there.
    fn gallop(
        &self,
        wanted: &Wanted<'_>,
        guess: usize,
    ) -> Result<std::result::Result<usize, usize>> {
        let (mut low, mut high, mut step) = (0, self.count(), 1);
        self.ask_pair(guess);
        match wanted.compare(self.key(guess)?) {
            Ordering::Equal => return Ok(Ok(guess)),
            Ordering::Less => {
                low = guess + 1;
                while low + step <= high {
                    let probe = low + step - 1;
                    match wanted.compare(self.key(probe)?) {
                        Ordering::Equal => return Ok(Ok(probe)),
                        Ordering::Less => low = probe + 1,
                        Ordering::Greater => {
                            high = probe;
                            break;
                        }
                    }
                    step *= 2;
                }
            }
            Ordering::Greater => {
                high = guess;
                while low + step <= high {
                    let probe = high - step;
                    match wanted.compare(self.key(probe)?) {
                        Ordering::Equal => return Ok(Ok(probe)),
                        Ordering::Greater => high = probe,
                        Ordering::Less => {
                            low = probe + 1;
                            break;
                        }
                    }
                    step *= 2;
                }
            }
        }
        self.halve(wanted, low, high)
    }

    fn halve(
        &self,
        wanted: &Wanted<'_>,
        mut low: usize,
        mut high: usize,
    ) -> Result<std::result::Result<usize, usize>> {
        while low < high {
            let middle = low.midpoint(high);
            match wanted.compare(self.key(middle)?) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Ok(middle)),
            }
        }
        Ok(Err(low))
    }

    /// The child that covers a key: the last one whose separator is not greater. `between` is narrowed
    /// to the separators around it.
    pub(crate) fn child_between(
        &self,
        wanted: &Wanted<'_>,
        between: &mut Between,
    ) -> Result<usize> {
        let child = match self.search_between(wanted, between)? {
            Ok(index) => index,
            Err(index) => index.saturating_sub(1),
        };
        between.low = Some(head(self.key(child)?));
        if child + 1 < self.count() {
            between.high = Some(head(self.key(child + 1)?));
        }
        Ok(child)
    }

    /// [`child_between`](Self::child_between) for those who go no further down.
    pub(crate) fn child_for(&self, key: &[u8]) -> Result<usize> {
        self.child_between(&Wanted::new(key), &mut Between::default())
    }
}
