//! Where a node that does not fit its page is cut.
//!
//! Called by the commit for every node it writes. Keys that came in behind all others leave full pages,
//! keys that came in between leave room for more.
//!
//! Elements that do not divide a page well would leave much of it empty (two pages for a value of 4 KiB,
//! half of the second one unused): they are put together in runs of up to [`MAX_RUN`] pages, until no
//! more than a quarter of the run is wasted. Any reader of the format takes such nodes: bbolt makes them
//! too, out of two elements.
use std::ops::Range;

use varve_backend::bbolt::HEADER_LEN;

#[cfg(test)]
mod tests;

/// How a cut fills pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) page_size: usize,
    /// Share of a page that appended keys may fill, in percent.
    pub(crate) append_percent: usize,
}

/// Pages that are cut because keys came in between are left this full, so that the next such keys fit,
/// in percent.
const SPLIT_PERCENT: usize = 75;
/// Pages a node of several elements may take.
const MAX_RUN: usize = 4;
/// At most one part in so many of a run may be empty, if there are elements to fill it with.
const WASTE_SHARE: usize = 4;

/// Elements that get a page (or a run of them) of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) range: Range<usize>,
    /// Bytes of the page image.
    pub(crate) size: usize,
}

/// Cuts behind the element that brings the running total to the next multiple of `share`, and before one
/// that would not fit.
pub(crate) struct Plan {
    share: usize,
    limit: usize,
    page_size: usize,
    /// Whether elements may go together in runs of pages.
    runs: bool,
}

impl Plan {
    pub(crate) fn new(total: usize, fill: Fill, appended: bool, shrunk: bool) -> Self {
        if appended {
            return Self::appending(fill);
        }
        // Where keys go away, none are expected to come in between soon: fill up as if appended.
        let percent = if shrunk {
            fill.append_percent
        } else {
            SPLIT_PERCENT
        };
        let pieces = total.div_ceil(fill.page_size * percent / 100).max(2);
        Self {
            share: total.div_ceil(pieces),
            limit: fill.page_size,
            page_size: fill.page_size,
            runs: false,
        }
    }

    /// For elements that came in at the end.
    pub(crate) fn appending(fill: Fill) -> Self {
        Self {
            share: usize::MAX,
            limit: fill.page_size * fill.append_percent / 100,
            page_size: fill.page_size,
            runs: true,
        }
    }

    /// Whether an image of `size` bytes takes no further element of `len` bytes.
    pub(crate) fn is_full(&self, size: usize, len: usize) -> bool {
        if size + len <= self.limit {
            return false;
        }
        let room = size.div_ceil(self.page_size) * self.page_size;
        let wasteful = (room - size) * WASTE_SHARE > room;
        !(self.runs && wasteful && size + len <= MAX_RUN * self.page_size)
    }

    /// Cuts elements of these lengths into pieces of at least `least` of them.
    pub(crate) fn cut(&self, lens: impl Iterator<Item = usize>, least: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut from, mut to, mut size, mut seen) = (0, 0, HEADER_LEN, 0);
        for len in lens {
            let share_full =
                seen / self.share > (seen.saturating_sub(size - HEADER_LEN)) / self.share;
            if to - from >= least && (self.is_full(size, len) || share_full) {
                let range = from..to;
                pieces.push(Piece { range, size });
                (from, size) = (to, HEADER_LEN);
            }
            size += len;
            seen += len;
            to += 1;
        }
        match pieces.last_mut() {
            Some(last) if to - from < least => {
                last.range.end = to;
                last.size += size - HEADER_LEN;
            }
            _ => pieces.push(Piece {
                range: from..to,
                size,
            }),
        }
        pieces
    }
}
