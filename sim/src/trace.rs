//! What happened, as a hash and, when somebody wants to read it, as lines.

use std::collections::VecDeque;
use std::fmt;

/// The course of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// How many lines are kept, the latest.
    keep: usize,
    lines: VecDeque<String>,
}

impl Trace {
    /// An empty trace that keeps this many lines. Writing them costs more than the run: 0 for most.
    pub fn new(keep: usize) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            keep,
            lines: VecDeque::new(),
        }
    }

    /// Takes in what happened, as numbers.
    pub fn note(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    /// Takes in what happened, as a line. It is not part of the hash.
    pub fn line(&mut self, time: u64, text: fmt::Arguments<'_>) {
        if self.keep > 0 {
            if self.lines.len() == self.keep {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{time:>7} {text}"));
        }
    }

    /// Whether lines are kept.
    pub fn is_recording(&self) -> bool {
        self.keep > 0
    }

    /// The hash of all that was noted. Equal runs have equal hashes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The latest lines, if they were kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
