//! Notices that the disk does not answer.
//!
//! Part of the [`Driver`](super::Driver), on the raft thread. A leader whose log writes hang goes on
//! sending heartbeats, since another thread writes; nobody would ever replace it, and what it proposes
//! would be committed by others and never answered here. So it hands over.
//!
//! Counted in ticks: a process that was stopped as a whole has no ticks, and is no sign of its disk.
use std::collections::VecDeque;

/// When the appends under way were handed to the WAL thread.
#[derive(Debug)]
pub(super) struct StallWatch {
    /// Tick and number of appends, oldest first.
    handed: VecDeque<(u64, usize)>,
    /// Ticks that an append may take; `None` for ever.
    limit: Option<u64>,
    /// No sooner than this is the next warning, and the next attempt to hand over.
    next: u64,
    every: u64,
}

impl StallWatch {
    /// Watches for appends that take more than `timeouts` election timeouts (0: does not watch).
    pub(super) fn new(timeouts: u32, election_ticks: u64) -> Self {
        Self {
            handed: VecDeque::new(),
            limit: (timeouts > 0).then(|| u64::from(timeouts) * election_ticks),
            next: 0,
            every: election_ticks,
        }
    }

    /// Appends went to the WAL thread.
    pub(super) fn handed(&mut self, tick: u64, appends: usize) {
        match self.handed.back_mut() {
            Some((at, count)) if *at == tick => *count += appends,
            _ => self.handed.push_back((tick, appends)),
        }
    }

    /// The oldest appends are durable.
    pub(super) fn answered(&mut self, mut appends: usize) {
        while let Some((_, count)) = self.handed.front_mut() {
            if *count > appends {
                *count -= appends;
                return;
            }
            appends -= *count;
            self.handed.pop_front();
        }
    }

    /// The tick in which the oldest append under way was handed over.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.handed.front().map(|(tick, _)| *tick)
    }

    /// For how many ticks the disk has not answered, when that is too long and it is time to act.
    pub(super) fn stalled(&mut self, tick: u64) -> Option<u64> {
        let (since, _) = self.handed.front()?;
        let waited = tick - since;
        if waited <= self.limit? || tick < self.next {
            return None;
        }
        self.next = tick + self.every;
        Some(waited)
    }

    /// Nobody could be handed over to: the next tick is time to act, too.
    pub(super) fn try_again(&mut self, tick: u64) {
        self.next = tick + 1;
    }
}

#[cfg(test)]
mod tests;
