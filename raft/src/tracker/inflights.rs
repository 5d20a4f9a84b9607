//! The window of appends that were sent and not yet acknowledged.

use std::collections::VecDeque;

use crate::ids::Index;

/// One append under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inflight {
    /// Index of the last entry in the message.
    index: Index,
    /// Payload bytes of its entries.
    bytes: u64,
}

/// A window limited in messages and in bytes.
///
/// The byte limit is soft: the message that crosses it is still admitted, so that one entry larger
/// than the limit can be sent at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inflights {
    /// Oldest first; indexes ascend.
    window: VecDeque<Inflight>,
    /// Sum over `window`.
    bytes: u64,
    limits: InflightLimits,
}

/// What a window admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflightLimits {
    /// Messages.
    pub messages: usize,
    /// Payload bytes; 0: unlimited.
    pub bytes: u64,
}

impl Inflights {
    /// An empty window.
    pub fn new(limits: InflightLimits) -> Self {
        // Grown on demand: most windows stay far below their limit.
        Self {
            window: VecDeque::new(),
            bytes: 0,
            limits,
        }
    }

    /// Admits a message. The caller has checked [`Inflights::is_full`]; `index` is not below that of
    /// the message before.
    pub(crate) fn add(&mut self, index: Index, bytes: u64) {
        assert!(!self.is_full(), "a message was sent through a full window");
        self.window.push_back(Inflight { index, bytes });
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Drops everything up to and including `index`: it was acknowledged.
    pub(crate) fn free_to(&mut self, index: Index) {
        while let Some(oldest) = self.window.front()
            && oldest.index <= index
        {
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.window.pop_front();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.window.clear();
        self.bytes = 0;
    }

    /// Whether no further message may be sent.
    pub fn is_full(&self) -> bool {
        self.window.len() >= self.limits.messages
            || (self.limits.bytes != 0 && self.bytes >= self.limits.bytes)
    }

    /// How many messages are under way.
    pub fn count(&self) -> usize {
        self.window.len()
    }
}

#[cfg(test)]
mod tests;
