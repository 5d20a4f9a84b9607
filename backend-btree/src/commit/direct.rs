//! Which leaves were made without a list of their elements; tests turn that off and compare.
//!
//! Asked by the commit for every leaf; outside of tests it is always on and nothing is noted.
#[cfg(test)]
use std::cell::Cell;

/// How a leaf was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Pairs of the batch behind a leaf of the file.
    Tail,
    /// A leaf of the file less some elements.
    Left,
}

#[cfg(test)]
thread_local! {
    pub(super) static OFF: Cell<bool> = const { Cell::new(false) };
    /// Leaves made each way.
    pub(super) static NOTED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
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
        let (tail, left) = NOTED.get();
        NOTED.set(match way {
            Way::Tail => (tail + 1, left),
            Way::Left => (tail, left + 1),
        });
    }
    #[cfg(not(test))]
    let _: Way = way;
}
