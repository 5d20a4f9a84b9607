//! Which pages are free, and which will be once nobody reads them any more.
//!
//! Owned by the writer.
//!
//! # Invariants
//! 1. Runs do not overlap or touch; `by_size`, if there is one, mirrors `runs`.
//! 2. A page freed by commit `f` and written by commit `a` is handed out again only when no reader of a
//!    commit `r` with `a <= r < f` is left. The writer calls `release` with the readers that are open
//!    after the newest state was published; later readers read `f` or newer.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::options::FreelistType;

#[cfg(test)]
mod tests;

/// `len` contiguous pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Run {
    pub(crate) fn end(self) -> u64 {
        self.start + self.len
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    run: Run,
    born: u64,
    freed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct FreeList {
    runs: BTreeMap<u64, u64>,
    /// `(length, start)` of every run; `None` saves the memory and rows are looked for.
    by_size: Option<BTreeSet<(u64, u64)>>,
    free: u64,
    /// Freed by the newest commit and not looked at yet.
    fresh: Vec<Pending>,
    /// By the reader that keeps them.
    blocked: BTreeMap<u64, Vec<Pending>>,
    pending: u64,
    /// The commit that wrote a run, by first page, for runs younger than some reader.
    born: HashMap<u64, u64>,
    /// Everything in `born` is younger than this reader.
    born_after: u64,
}

/// Runs from the bottom that are looked at for a row of pages, and sizes of which the lowest run is.
const LOOKS: usize = 16;

/// The lowest run of the sizes that fit `len` best, or of the largest one: what lies low lets the file
/// become shorter.
fn lowest(by_size: &BTreeSet<(u64, u64)>, len: u64) -> Option<(u64, u64)> {
    let mut found = by_size.last().filter(|(l, _)| *l >= len)?;
    let mut size = len;
    for _ in 0..LOOKS {
        let Some(next) = by_size.range((size, 0)..).next() else {
            break;
        };
        if next.1 < found.1 {
            found = next;
        }
        size = next.0 + 1;
    }
    Some((found.1, found.0))
}

impl FreeList {
    /// A list of these runs, which must not overlap or touch.
    pub(crate) fn new(kind: FreelistType, runs: impl Iterator<Item = Run> + Clone) -> Self {
        // Collected at once: a tree built from sorted elements costs a fraction of insertions.
        let by_size = match kind {
            FreelistType::Map => Some(runs.clone().map(|r| (r.len, r.start)).collect()),
            FreelistType::Array => None,
        };
        Self {
            free: runs.clone().map(|r| r.len).sum(),
            runs: runs.map(|r| (r.start, r.len)).collect(),
            by_size,
            ..Self::default()
        }
    }

    /// Where a row of pages is taken from: the lowest run that fits, as far as the index of sizes shows it.
    fn row(&self, len: u64) -> Option<Run> {
        let mut low = self.runs.iter().map(|(start, len)| (*start, *len));
        let found = match &self.by_size {
            Some(by_size) => low
                .take(LOOKS)
                .find(|(_, l)| *l >= len)
                .or_else(|| lowest(by_size, len)),
            None => low.find(|(_, l)| *l >= len),
        };
        found.map(|(start, len)| Run { start, len })
    }

    pub(crate) fn free_pages(&self) -> u64 {
        self.free
    }

    pub(crate) fn pending_pages(&self) -> u64 {
        self.pending
    }

    /// Takes `len` pages in a row, from the lowest place.
    pub(crate) fn allocate(&mut self, len: u64) -> Option<u64> {
        let run = if len == 1 {
            let (start, len) = self.runs.first_key_value().map(|(s, l)| (*s, *l))?;
            Run { start, len }
        } else {
            self.row(len)?
        };
        self.cut(run.start, run.len);
        if run.len > len {
            self.put(run.start + len, run.len - len);
        }
        Some(run.start)
    }

    /// Whether a row of `len` pages that ends at or before `below` is free.
    pub(crate) fn fits_below(&self, len: u64, below: u64) -> bool {
        if len == 1 {
            return self.runs.first_key_value().is_some_and(|(s, _)| *s < below);
        }
        self.row(len).is_some_and(|run| run.start + len <= below)
    }

    /// The free run a page lies in.
    pub(crate) fn run_at(&self, page: u64) -> Option<Run> {
        let (start, len) = self.runs.range(..=page).next_back()?;
        let run = Run {
            start: *start,
            len: *len,
        };
        (run.end() > page).then_some(run)
    }

    /// Gives pages back for immediate use.
    pub(crate) fn release_run(&mut self, run: Run) {
        let (mut start, mut len) = (run.start, run.len);
        if let Some((s, l)) = self.runs.range(..start).next_back().map(|(s, l)| (*s, *l))
            && s + l == start
        {
            self.cut(s, l);
            start = s;
            len += l;
        }
        if let Some(l) = self.runs.get(&(start + len)).copied() {
            self.cut(start + len, l);
            len += l;
        }
        self.put(start, len);
    }

    fn put(&mut self, start: u64, len: u64) {
        self.runs.insert(start, len);
        if let Some(by_size) = &mut self.by_size {
            by_size.insert((len, start));
        }
        self.free += len;
    }

    fn cut(&mut self, start: u64, len: u64) {
        self.runs.remove(&start);
        if let Some(by_size) = &mut self.by_size {
            by_size.remove(&(len, start));
        }
        self.free -= len;
    }

    /// Takes the free run that ends at the high-water mark, if there is one; its start is the new mark.
    pub(crate) fn take_tail(&mut self, high_water: u64) -> Option<Run> {
        let (start, len) = self.runs.last_key_value().map(|(s, l)| (*s, *l))?;
        if start + len != high_water {
            return None;
        }
        self.cut(start, len);
        Some(Run { start, len })
    }

    /// Commit `txid` wrote these runs and let go of those.
    pub(crate) fn commit(&mut self, txid: u64, written: &[Run], freed: &[Run]) {
        for run in freed {
            let born = self.born.remove(&run.start).unwrap_or(0);
            self.fresh.push(Pending {
                run: *run,
                born,
                freed: txid,
            });
            self.pending += run.len;
        }
        for run in written {
            self.born.insert(run.start, txid);
        }
    }

    /// Makes everything reusable that no reader in `open` (ascending) can see.
    pub(crate) fn release(&mut self, open: &[u64]) {
        let mut look = std::mem::take(&mut self.fresh);
        let gone: Vec<u64> = self
            .blocked
            .keys()
            .filter(|r| open.binary_search(r).is_err())
            .copied()
            .collect();
        for reader in gone {
            look.extend(self.blocked.remove(&reader).unwrap_or_default());
        }
        for entry in look {
            let at = open.partition_point(|r| *r < entry.born);
            match open.get(at).filter(|r| **r < entry.freed) {
                Some(reader) => self.blocked.entry(*reader).or_default().push(entry),
                None => {
                    self.pending -= entry.run.len;
                    self.release_run(entry.run);
                }
            }
        }
        let oldest = open.first().copied().unwrap_or(u64::MAX);
        if oldest > self.born_after {
            // A run at least as old as the oldest reader is as good as old: nobody reads from before.
            self.born.retain(|_, born| *born > oldest);
            self.born_after = if oldest == u64::MAX { 0 } else { oldest };
        }
    }

    /// The free runs, ascending.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + Clone {
        self.runs.iter().map(|(start, len)| Run {
            start: *start,
            len: *len,
        })
    }

    /// The runs that are waiting for readers, in no order.
    pub(crate) fn pending_runs(&self) -> impl Iterator<Item = Run> {
        self.fresh
            .iter()
            .chain(self.blocked.values().flatten())
            .map(|p| p.run)
    }
}
