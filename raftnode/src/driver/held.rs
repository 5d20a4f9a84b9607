//! Commit indexes that wait for a message to ride along with.
//!
//! Part of the [`Driver`], on the raft thread. When a put that was alone has committed, the core tells every
//! follower in an append without entries, at once. Where a client puts one thing after the other the next
//! append says it anyway, a moment later; so such a message is held back for a bounded time (1 ms as the server
//! has it, four times that once eight in a row were dropped), and dropped if another one that says as much
//! leaves for that member meanwhile. The core is not aware of it: to it the message is on its way.
//!
//! # Invariants
//! 1. Nothing overtakes what is held: a message to the same member either says as much or leaves behind it.
//!    So the answer to a member's read comes no sooner, and no later, than the index it waits for.
//! 2. Held is only what nobody is known to wait for: a single normal entry, with nothing behind it, and none
//!    that this member passed on to the leader.
//! 3. Messages leave as the core made them, with the term they were made in, or not at all.
use std::collections::BTreeSet;
use std::time::Duration;

use varve_proto::raftpb::{Entry, EntryType, Message, MessageType};
use varve_raft::{NodeId, ProgressState, RawNode};

use super::Driver;
use crate::log_store::LogStore;

/// So many messages in a row that rode along are a stream of puts: the next one is expected, too.
const STREAM: u32 = 8;

/// In a stream messages wait for so many times the limit. What comes next carries them anyway; but that the
/// raft thread looks after each cost a wake-up for every second put.
const IN_STREAM: u32 = 4;

/// What is held back, one message a member at most.
#[derive(Debug)]
pub(super) struct HeldCommits {
    /// For how long, while puts come now and then; zero: nothing is.
    limit: Duration,
    /// Messages that rode along since the last one that did not.
    rode_along: u32,
    /// In the order of the times at which they leave.
    held: Vec<Held>,
    /// The last entry of the log, if it was alone.
    lone: Option<u64>,
    /// Members that passed on a proposal and may not know yet that it has committed.
    waiting: BTreeSet<u64>,
}

#[derive(Debug)]
struct Held {
    message: Message,
    /// When it leaves, by the clock of the turns.
    due: Duration,
}

impl HeldCommits {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            rode_along: 0,
            held: Vec::new(),
            lone: None,
            waiting: BTreeSet::new(),
        }
    }

    /// Entries go to the log, and `commit` is known to be committed.
    pub(super) fn appended(&mut self, entries: &[Entry], commit: u64) {
        if let Some(last) = entries.last() {
            let is_lone = last.index == commit + 1 && last.r#type == EntryType::EntryNormal as i32;
            self.lone = is_lone.then_some(last.index);
        }
    }

    /// A member has passed on a proposal: it waits for it to be applied there.
    fn passed_on(&mut self, by: u64) {
        if !self.limit.is_zero() {
            self.waiting.insert(by);
        }
    }

    /// This member leads no longer: whoever passed something on to it asks its successor.
    fn forget_who_waits(&mut self) {
        self.waiting.clear();
    }

    /// When the first of them leaves.
    pub(super) fn due(&self) -> Option<Duration> {
        self.held.first().map(|held| held.due)
    }

    /// Takes out what has waited long enough.
    fn take_due(&mut self, now: Duration) -> Vec<Message> {
        let due = self.held.partition_point(|held| held.due <= now);
        if due > 0 {
            self.rode_along = 0;
        }
        self.held.drain(..due).map(|held| held.message).collect()
    }

    /// Messages that are about to leave, without those that can wait; with those before them that can wait
    /// no longer. `is_replicating`: whether the member gets entries as they come.
    fn pass(
        &mut self,
        messages: Vec<Message>,
        now: Duration,
        is_replicating: impl Fn(u64) -> bool,
    ) -> Vec<Message> {
        if self.limit.is_zero() || (self.held.is_empty() && !messages.iter().any(is_commit)) {
            return messages;
        }
        let mut leaving = Vec::with_capacity(messages.len());
        for message in messages {
            let limit = if self.rode_along >= STREAM {
                self.limit * IN_STREAM
            } else {
                self.limit
            };
            let mut due = now + limit;
            let before = self.held.iter().position(|h| h.message.to == message.to);
            if let Some(at) = before {
                let before = self.held.remove(at);
                if says_as_much(&message, &before.message) {
                    // Should it wait, too, then no longer.
                    due = before.due;
                    if !message.entries.is_empty() {
                        self.rode_along = self.rode_along.saturating_add(1);
                    }
                } else {
                    self.rode_along = 0;
                    leaving.push(before.message);
                }
            }
            if self.may_wait(&message) && is_replicating(message.to) {
                let at = self.held.partition_point(|held| held.due <= due);
                self.held.insert(at, Held { message, due });
                continue;
            }
            if is_commit(&message) && message.commit == message.index {
                self.waiting.remove(&message.to);
            }
            leaving.push(message);
        }
        leaving
    }

    /// Whether a message says nothing but that the last entry has committed, to one who need not hurry.
    fn may_wait(&self, message: &Message) -> bool {
        is_commit(message)
            && message.commit == message.index
            && self.lone == Some(message.index)
            && !self.waiting.contains(&message.to)
    }
}

/// Whether a message is an append without entries.
fn is_commit(message: &Message) -> bool {
    message.r#type == MessageType::MsgApp as i32 && message.entries.is_empty()
}

/// Whether a member that gets `message` knows of the commit that `held` tells, without `held`.
fn says_as_much(message: &Message, held: &Message) -> bool {
    let is = |kind: MessageType| message.r#type == kind as i32;
    // What an append vouches for ends with its entries.
    let vouches = is(MessageType::MsgHeartbeat)
        || is(MessageType::MsgApp)
            && message.index.saturating_add(message.entries.len() as u64) >= held.commit;
    vouches && message.term == held.term && message.commit >= held.commit
}

/// How a member gets its entries, as far as this one leads.
fn progress_of(raw: &RawNode<LogStore>, id: u64) -> Option<ProgressState> {
    let status = raw.status();
    let progress = status.progress.get(NodeId::new(id)?)?;
    Some(progress.state)
}

impl Driver {
    /// The time of this turn, by the clock of whoever takes it.
    pub(crate) fn set_time(&mut self, now: Duration) {
        self.now = now;
    }

    /// When something that was held back leaves.
    pub(crate) fn held_until(&self) -> Option<Duration> {
        self.held.due()
    }

    /// Sends what was held back for long enough, and all of it where this member leads no longer or ends.
    pub(crate) fn send_held(&mut self, ends: bool) {
        let all = ends || !self.leads();
        if all {
            self.held.forget_who_waits();
        }
        let until = if all { Duration::MAX } else { self.now };
        let due = self.held.take_due(until);
        if !due.is_empty() {
            self.transport.send(due);
        }
    }

    /// A proposal came from this member. Whoever is none, or where this one does not lead, is not remembered:
    /// a peer may claim to be anybody.
    pub(super) fn passed_on(&mut self, by: u64) {
        if progress_of(&self.raw, by).is_some() {
            self.held.passed_on(by);
        }
    }

    pub(super) fn send(&mut self, messages: Vec<Message>) {
        let raw = &self.raw;
        let is_replicating = |id| progress_of(raw, id) == Some(ProgressState::Replicate);
        let leaving = self.held.pass(messages, self.now, is_replicating);
        if !leaving.is_empty() {
            self.transport.send(leaving);
        }
    }
}

#[cfg(test)]
mod tests;
