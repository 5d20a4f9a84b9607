//! Where a node that does not fit its page is cut.
//!
//! Called by the commit for every node it writes. Keys that came in behind all others leave full pages,
//! keys that came in between leave room for more.
//!
//! Elements that do not divide a page well would leave much of it empty (two pages for a value of 4 KiB,
//! half of the second one unused): they are put together in runs of up to [`MAX_RUN`] pages, until no
//! more than a quarter of the run is wasted, or an eighth if many come at once: then the longer run is not
//! written again by the next commit. Any reader of the format takes such nodes: bbolt makes them too, out
//! of two elements.
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
/// Pages a node of several elements may take: if the next commit may have to write it again, and if not.
const SHORT_RUN: usize = 4;
const MAX_RUN: usize = 8;
/// At most one part in so many of a run may be empty, if there are elements to fill it with: of a short
/// one, and of a longer one.
const SHORT_WASTE: usize = 4;
const LONG_WASTE: usize = 8;
/// A cut of at least so many pages is one of many new elements.
const BULK_PAGES: usize = 4 * MAX_RUN;

/// Whether elements take half a page and more, so that they do not divide it well.
fn are_large(total: usize, count: usize, page_size: usize) -> bool {
    total > count * page_size / 2
}

/// Whether two nodes that are both to be written take fewer pages as one of `size` bytes and `count`
/// elements than the `pages` they take as two: large elements that were left over.
pub(crate) fn save_pages(size: usize, count: usize, pages: usize, page_size: usize) -> bool {
    let together = size.div_ceil(page_size);
    are_large(size, count, page_size) && together < pages && together <= MAX_RUN
}

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
    /// How elements may go together in runs.
    runs: Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    No,
    Short,
    Long,
}

/// What happened to the elements of a node that is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Some came in behind all others.
    Appended,
    /// Some came in between.
    Grown,
    /// Some went away, or nothing happened: none are expected to come in between soon.
    Kept,
}

impl Plan {
    /// For `count` elements of `total` bytes.
    pub(crate) fn new(total: usize, count: usize, fill: Fill, why: Why) -> Self {
        let percent = match why {
            Why::Appended => return Self::appending(fill, total),
            Why::Kept if are_large(total, count, fill.page_size) => {
                return Self::filling(fill, Runs::Long);
            }
            Why::Kept => fill.append_percent,
            Why::Grown => SPLIT_PERCENT,
        };
        let pieces = total.div_ceil(fill.page_size * percent / 100).max(2);
        Self {
            share: total.div_ceil(pieces),
            limit: fill.page_size,
            page_size: fill.page_size,
            runs: Runs::No,
        }
    }

    /// For elements that came in at the end of a node that has `total` bytes with them.
    pub(crate) fn appending(fill: Fill, total: usize) -> Self {
        let bulk = Self::is_bulk(fill, total);
        Self::filling(fill, if bulk { Runs::Long } else { Runs::Short })
    }

    /// Whether so many bytes that come in at the end are many.
    pub(crate) fn is_bulk(fill: Fill, total: usize) -> bool {
        total >= BULK_PAGES * fill.page_size
    }

    /// The first piece that [`cut`](Self::cut) makes of what comes in at the end, from an element on whose
    /// length is the first of `lens`.
    pub(crate) fn first(&self, from: usize, lens: impl Iterator<Item = usize>) -> Piece {
        let (mut to, mut size) = (from, HEADER_LEN);
        for len in lens {
            if to > from && self.is_full(size, len) {
                break;
            }
            size += len;
            to += 1;
        }
        Piece {
            range: from..to,
            size,
        }
    }

    fn filling(fill: Fill, runs: Runs) -> Self {
        Self {
            share: usize::MAX,
            limit: fill.page_size * fill.append_percent / 100,
            page_size: fill.page_size,
            runs,
        }
    }

    /// Whether an image of `size` bytes takes no further element of `len` bytes.
    pub(crate) fn is_full(&self, size: usize, len: usize) -> bool {
        if size + len <= self.limit {
            return false;
        }
        let room = size.div_ceil(self.page_size) * self.page_size;
        let (share, longest) = match self.runs {
            Runs::No => return true,
            // Small ones waste little in any case.
            Runs::Long if are_large(len, 1, self.page_size) => (LONG_WASTE, MAX_RUN),
            Runs::Long | Runs::Short => (SHORT_WASTE, SHORT_RUN),
        };
        let wasteful = (room - size) * share > room;
        !(wasteful && size + len <= longest * self.page_size)
    }

    /// Cuts elements of these lengths into pieces of at least `least` of them.
    pub(crate) fn cut(&self, lens: impl Iterator<Item = usize>, least: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut from, mut to, mut size, mut seen) = (0, 0, HEADER_LEN, 0);
        for len in lens {
            let share_full = self.share != usize::MAX
                && seen / self.share > (seen.saturating_sub(size - HEADER_LEN)) / self.share;
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
