//! Handing leadership over: on request, before a stop, and away from a disk that does not answer.
//!
//! Part of the [`Driver`], on the raft thread.
use varve_raft::{NONE, NodeId, ProgressState, RawNode, Storage};

use super::Driver;
use crate::error::RequestError;
use crate::event::Done;

/// A transfer that somebody waits for.
pub(super) struct Transfer {
    /// To whom; without a wish anybody will do.
    to: Option<u64>,
    /// The tick after which it has failed.
    deadline: u64,
    done: Done<u64>,
}

impl Transfer {
    fn new(to: Option<u64>, deadline: u64, done: Done<u64>) -> Self {
        Self { to, deadline, done }
    }

    /// Whether the wait is over, given who leads now.
    fn outcome(&self, own: u64, leader: u64, tick: u64) -> Option<Result<u64, RequestError>> {
        let arrived = match self.to {
            Some(to) => leader == to,
            None => leader != NONE && leader != own,
        };
        if arrived {
            return Some(Ok(leader));
        }
        (tick >= self.deadline).then_some(Err(RequestError::TransferTimedOut))
    }

    fn finish(self, outcome: Result<u64, RequestError>) {
        (self.done)(outcome);
    }
}

impl Driver {
    pub(super) fn transfer_leader(&mut self, to: Option<u64>, done: Done<u64>) {
        if !self.has_leader() {
            return done(Err(RequestError::NoLeader));
        }
        if to.is_some_and(|to| to == self.leader) || (to.is_none() && !self.leads()) {
            return done(Ok(self.leader));
        }
        let target = match to {
            Some(to) if self.leads() => self.is_voter(to).then_some(to),
            Some(to) => Some(to),
            None => best_successor(&self.raw),
        };
        let Some(target) = target else {
            return done(Err(RequestError::NoTransferee));
        };
        self.raw.transfer_leader(target);
        // The core gives up after one election timeout; another one may pass before the news is here.
        let deadline = self.ticks + 2 * self.limits.election_ticks;
        self.transfers.push(Transfer::new(to, deadline, done));
    }

    fn is_voter(&self, id: u64) -> bool {
        let status = self.raw.status();
        NodeId::new(id)
            .and_then(|id| status.progress.get(id))
            .is_some_and(|p| !p.is_learner)
    }

    pub(super) fn settle_transfers(&mut self) {
        let (own, leader, tick) = (self.id, self.leader, self.ticks);
        let mut at = 0;
        while let Some(transfer) = self.transfers.get(at) {
            match transfer.outcome(own, leader, tick) {
                Some(outcome) => self.transfers.swap_remove(at).finish(outcome),
                None => at += 1,
            }
        }
    }

    /// A leader whose disk does not answer hands over.
    pub(super) fn watch_disk(&mut self) {
        let Some(ticks) = self.stall.stalled(self.ticks) else {
            return;
        };
        let successor = if self.leads() {
            let successor = best_successor(&self.raw);
            if successor.is_none() {
                // Whom it has heard from is forgotten once an election timeout, when it counts its quorum.
                // Waiting for another timeout would meet the same moment, again and again.
                return self.stall.try_again(self.ticks);
            }
            successor
        } else {
            None
        };
        tracing::warn!(
            node = self.id,
            ticks,
            successor = %format_args!("{:x}", successor.unwrap_or(NONE)),
            "the disk has not completed a log write for more than the election timeout"
        );
        if let Some(successor) = successor {
            self.raw.transfer_leader(successor);
        }
    }
}

/// The voter that can take over soonest: heard from lately, and with the longest log. `None` unless this
/// member leads others that are alive.
fn best_successor<S: Storage>(raw: &RawNode<S>) -> Option<u64> {
    let status = raw.status();
    status
        .progress
        .iter()
        .filter(|(id, p)| id.get() != status.basic.id && !p.is_learner && p.recent_active)
        // Ids are ascending, and the first of equals wins.
        .min_by_key(|(_, p)| {
            (
                p.state != ProgressState::Replicate,
                std::cmp::Reverse(p.matched),
            )
        })
        .map(|(id, _)| id.get())
}
