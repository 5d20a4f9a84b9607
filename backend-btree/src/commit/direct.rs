//! Which leaves were made without a list of their elements; tests turn that off and compare.
//!
//! Asked by the commit for every leaf; outside of tests it is always on and nothing is noted.
#[cfg(test)]
use std::cell::Cell;

/// How a leaf was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Pairs of the batch behind a leaf of the file.
    Tail = 0,
    /// A leaf of the file less some elements.
    Left = 1,
    /// No leaf: the puts of a batch that come behind all keys were not listed.
    Behind = 2,
}

#[cfg(test)]
thread_local! {
    pub(super) static OFF: Cell<bool> = const { Cell::new(false) };
    /// How often each way was taken.
    pub(super) static NOTED: Cell<[u64; 3]> = const { Cell::new([0; 3]) };
}

/// Whether all leaves are made of lists.
pub(super) fn is_off() -> bool {
    #[cfg(test)]
    let off = OFF.get();
    #[cfg(not(test))]
    let off = false;
    off
}

/// A leaf is made this way.
pub(super) fn note(way: Way) {
    #[cfg(test)]
    {
        let mut noted = NOTED.get();
        noted[way as usize] += 1;
        NOTED.set(noted);
    }
    #[cfg(not(test))]
    let _: Way = way;
}
