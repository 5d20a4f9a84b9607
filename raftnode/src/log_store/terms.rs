//! The terms of a log, as runs of equal ones: a few numbers for millions of entries.
use std::collections::VecDeque;

/// Terms of consecutive indexes, from a first one on.
///
/// # Invariants
/// 1. There is a run at least; runs ascend in both start and term.
#[derive(Debug)]
pub(super) struct Terms {
    /// First index of a run, and its term.
    runs: VecDeque<(u64, u64)>,
}

impl Default for Terms {
    fn default() -> Self {
        Self::from(0, 0)
    }
}

impl Terms {
    /// The log begins behind `index`, whose term is known.
    pub(super) fn from(index: u64, term: u64) -> Self {
        Self {
            runs: VecDeque::from([(index, term)]),
        }
    }

    /// The entry at `index`, one past the last, has this term.
    pub(super) fn push(&mut self, index: u64, term: u64) {
        if self.runs.back().is_none_or(|(_, last)| *last != term) {
            self.runs.push_back((index, term));
        }
    }

    /// Forgets the indexes from this one on; the first index known stays.
    pub(super) fn truncate(&mut self, from: u64) {
        while self.runs.len() > 1 && self.runs.back().is_some_and(|(start, _)| *start >= from) {
            self.runs.pop_back();
        }
    }

    /// Forgets the indexes before this one.
    pub(super) fn drop_before(&mut self, index: u64) {
        while self.runs.get(1).is_some_and(|(start, _)| *start <= index) {
            self.runs.pop_front();
        }
        if let Some((start, _)) = self.runs.front_mut() {
            *start = index.max(*start);
        }
    }

    /// The term at an index not before the first; whoever asks knows where the log ends.
    pub(super) fn get(&self, index: u64) -> Option<u64> {
        self.runs
            .iter()
            .rev()
            .find(|(start, _)| *start <= index)
            .map(|(_, term)| *term)
    }
}

#[cfg(test)]
mod tests;
