//! Handing leadership over: on request, before a stop, and away from a disk that does not answer.
//!
//! Part of the [`Driver`](super::Driver), on the raft thread.
use varve_raft::{NONE, ProgressState, RawNode, Storage};

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
    pub(super) fn new(to: Option<u64>, deadline: u64, done: Done<u64>) -> Self {
        Self { to, deadline, done }
    }

    /// Whether the wait is over, given who leads now.
    pub(super) fn outcome(
        &self,
        own: u64,
        leader: u64,
        tick: u64,
    ) -> Option<Result<u64, RequestError>> {
        let arrived = match self.to {
            Some(to) => leader == to,
            None => leader != NONE && leader != own,
        };
        if arrived {
            return Some(Ok(leader));
        }
        (tick >= self.deadline).then_some(Err(RequestError::TransferTimedOut))
    }

    pub(super) fn finish(self, outcome: Result<u64, RequestError>) {
        (self.done)(outcome);
    }
}

/// The voter that can take over soonest: heard from lately, and with the longest log. `None` unless this
/// member leads others that are alive.
pub(super) fn best_successor<S: Storage>(raw: &RawNode<S>) -> Option<u64> {
    let status = raw.status();
    status
        .progress
        .iter()
        .filter(|(id, p)| *id != status.basic.id && !p.is_learner && p.recent_active)
        // Ids are ascending, and the first of equals wins.
        .min_by_key(|(_, p)| {
            (
                p.state != ProgressState::Replicate,
                std::cmp::Reverse(p.matched),
            )
        })
        .map(|(id, _)| id)
}
