//! Who waits for which request to be applied.
//!
//! An RPC handler registers before it proposes; the apply thread completes by id. Entries that no
//! handler waits for (replay, other members' requests) find nobody, which costs one look-up.
use std::collections::HashMap;
use std::collections::hash_map::RandomState;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::apply::Applied;
use crate::rpc::{RpcError, Status};

/// Locks are split by the low bits of the id, which count up: neighbours never share one.
const SHARDS: usize = 16;

type Outcome = Result<Applied, Status>;
type Shard = Mutex<HashMap<u64, oneshot::Sender<Outcome>, RandomState>>;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    shards: [Shard; SHARDS],
    held: Mutex<Vec<Held>>,
    is_exceeded: Notify,
}

/// An outcome that is told once the quota's alarm is raised.
#[derive(Debug)]
pub(crate) struct Held {
    sender: oneshot::Sender<Outcome>,
    outcome: Outcome,
}

impl Held {
    /// Tells it.
    pub(crate) fn tell(self) {
        let _gone = self.sender.send(self.outcome);
    }
}

impl Waiters {
    fn shard(&self, id: u64) -> &Shard {
        // The remainder fits whatever the width of usize.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "reduced below SHARDS first"
        )]
        let at = (id % SHARDS as u64) as usize;
        &self.shards[at]
    }

    /// Starts to wait for `id`.
    pub(crate) fn register(&self, id: u64) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.shard(id).lock().insert(id, sender);
        receiver
    }

    /// Hands over the outcome; one that nobody waits for any more is dropped.
    pub(crate) fn complete(&self, id: u64, outcome: Outcome) {
        let sender = self.shard(id).lock().remove(&id);
        if let Some(sender) = sender {
            let _gone = sender.send(outcome);
        }
    }

    /// The entry `id` went beyond this member's quota: whoever waits for it is told after the alarm is
    /// raised, so that the refusal holds for everybody from then on.
    pub(crate) fn complete_after_alarm(&self, id: u64, outcome: Outcome) {
        let sender = self.shard(id).lock().remove(&id);
        if let Some(sender) = sender {
            self.held.lock().push(Held { sender, outcome });
        }
        self.is_exceeded.notify_one();
    }

    /// Waits until an entry went beyond the quota. Those who wait to be told of theirs.
    pub(crate) async fn exceeded(&self) -> Vec<Held> {
        self.is_exceeded.notified().await;
        std::mem::take(&mut *self.held.lock())
    }

    /// Stops to wait (time-out, client gone).
    pub(crate) fn forget(&self, id: u64) {
        self.shard(id).lock().remove(&id);
    }

    /// Answers everybody, since nothing will be applied any more.
    pub(crate) fn fail_all(&self, error: RpcError) {
        for shard in &self.shards {
            for (_, sender) in shard.lock().drain() {
                let _gone = sender.send(Err(error.into()));
            }
        }
        for held in self.held.lock().drain(..) {
            let _gone = held.sender.send(Err(error.into()));
        }
    }
}

#[cfg(test)]
mod tests;
