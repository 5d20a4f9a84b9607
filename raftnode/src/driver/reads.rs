//! Rounds of linearizable reads.
//!
//! Reads that wait together share one ReadIndex round, and several rounds may be under way. Part of the
//! [`Driver`](super::Driver), on the raft thread.
//!
//! # Invariants
//! 1. Every round has a context that no other round of any member ever has, restarts included: leaders of
//!    etcd 3.6 and before tell rounds apart by nothing else, and a late answer to a member's former life
//!    must not release a read of this one.
//! 2. An answer releases the round it names and those before it: they began earlier, so the index covers
//!    them. A repeated round is a new one at the end, since the late answer to a first try says nothing
//!    about reads that came after it.
use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::RequestError;
use crate::event::Done;
use crate::request_id::RequestIds;

/// Rounds under way at a time. Reads that come meanwhile gather for the next: with more rounds there
/// would be more heartbeats, and no read would be answered sooner.
const MAX_ROUNDS: usize = 4;

/// Rounds remembered when none is answered: eight seconds of tries.
const MAX_TRIES: usize = 16;

struct Round {
    context: u64,
    /// The tick in which it began.
    since: u64,
    waiting: Vec<Done<u64>>,
}

/// The rounds of one member.
pub(super) struct ReadRounds {
    contexts: RequestIds,
    rounds: VecDeque<Round>,
    /// Reads that came while all rounds were taken.
    gathering: Vec<Done<u64>>,
    gathering_limit: usize,
    /// Ticks after which a round that was not answered is repeated.
    retry_ticks: u64,
}

impl ReadRounds {
    pub(super) fn new(contexts: RequestIds, gathering_limit: usize, retry_ticks: u64) -> Self {
        Self {
            contexts,
            rounds: VecDeque::new(),
            gathering: Vec::new(),
            gathering_limit,
            retry_ticks,
        }
    }

    /// Takes reads; the context of a round to begin now, if one is free.
    pub(super) fn begin(&mut self, reads: Vec<Done<u64>>, tick: u64) -> Option<Bytes> {
        if self.gathering.is_empty() && self.rounds.len() < MAX_ROUNDS {
            return (!reads.is_empty()).then(|| self.round(reads, tick));
        }
        for read in reads {
            if self.gathering.len() < self.gathering_limit {
                self.gathering.push(read);
            } else {
                read(Err(RequestError::TooMany));
            }
        }
        self.next(tick)
    }

    /// The context of a round for what has gathered, once one is free.
    pub(super) fn next(&mut self, tick: u64) -> Option<Bytes> {
        if self.gathering.is_empty() || self.rounds.len() >= MAX_ROUNDS {
            return None;
        }
        let reads = std::mem::take(&mut self.gathering);
        Some(self.round(reads, tick))
    }

    fn round(&mut self, waiting: Vec<Done<u64>>, since: u64) -> Bytes {
        let context = self.contexts.next_id();
        self.rounds.push_back(Round {
            context,
            since,
            waiting,
        });
        Bytes::copy_from_slice(&context.to_be_bytes())
    }

    /// An answer arrived. Contexts of rounds that are over are ignored.
    pub(super) fn finish(&mut self, context: &[u8], index: u64) {
        let Ok(context) = <[u8; 8]>::try_from(context) else {
            return;
        };
        let context = u64::from_be_bytes(context);
        let Some(at) = self.rounds.iter().position(|r| r.context == context) else {
            return;
        };
        for round in self.rounds.drain(..=at) {
            for done in round.waiting {
                done(Ok(index));
            }
        }
    }

    /// The context of a round that repeats the oldest ones, when they have waited too long. The answer
    /// may be lost, or the leader may not have been able to give one.
    pub(super) fn repeat(&mut self, tick: u64) -> Option<Bytes> {
        let (first, last) = (self.rounds.front()?, self.rounds.back()?);
        let due = |round: &Round| tick >= round.since + self.retry_ticks;
        if !due(first) || !due(last) {
            return None;
        }
        // What has gathered waits no longer: nothing tells when the rounds under way will end.
        let reads = std::mem::take(&mut self.gathering);
        self.forget_oldest();
        Some(self.round(reads, tick))
    }

    /// Gives the reads of the oldest rounds to the next ones, whose answers cover them, too. The names of
    /// tries not long ago are kept: a slow answer to one of them is an answer.
    fn forget_oldest(&mut self) {
        while self.rounds.len() >= MAX_TRIES {
            let Some(oldest) = self.rounds.pop_front() else {
                return;
            };
            if let Some(next) = self.rounds.front_mut() {
                next.waiting.extend(oldest.waiting);
            }
        }
    }

    /// All that wait learn that they got no answer.
    pub(super) fn fail(&mut self, error: RequestError) {
        let rounds = self.rounds.drain(..).flat_map(|r| r.waiting);
        for done in rounds.chain(self.gathering.drain(..)) {
            done(Err(error));
        }
    }
}

#[cfg(test)]
mod tests;
