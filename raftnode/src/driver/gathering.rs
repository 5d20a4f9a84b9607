//! Proposals that a leader gathers while its log is being written.
//!
//! Part of the [`Driver`], on the raft thread. The leader could not write them now anyway. Sent to the
//! followers one by one they would cost each of them a wake-up, a write and an answer; when the write under
//! way ends they are one append. (etcd's leader does the same: it saves and syncs between two looks at its
//! queue.)
//!
//! # Invariants
//! 1. A proposal that is alone does not wait: while nothing else is uncommitted none is gathered, so that the
//!    other members can commit it although this disk is slower.
//! 2. Nothing waits for a disk that has stopped answering: after two ticks proposals go to the followers,
//!    which need no leader's disk to commit.
use bytes::Bytes;
use std::sync::atomic::Ordering;
use varve_proto::raftpb::{Entry, MessageType};

use super::Driver;
use crate::event::Event;

/// Payload bytes after which no more are gathered: what an append holds at most.
const GATHER_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Gathering {
    events: Vec<Event>,
    /// Payload bytes of `events`.
    bytes: usize,
    /// Index of the last entry that was handed to the WAL.
    handed: u64,
}

impl Gathering {
    /// Takes in an event which [`may_wait`].
    pub(super) fn add(&mut self, event: Event) {
        self.bytes += match &event {
            Event::Propose { data, .. } => data.len(),
            Event::Message(message) => message
                .entries
                .iter()
                .map(|e| e.data.as_ref().map_or(0, Bytes::len))
                .sum(),
            _ => 0,
        };
        self.events.push(event);
    }

    /// Entries go to the WAL.
    pub(super) fn handed(&mut self, entries: &[Entry]) {
        if let Some(last) = entries.last() {
            self.handed = last.index;
        }
    }
}

/// Whether an event is a proposal that may be gathered.
pub(super) fn may_wait(event: &Event) -> bool {
    match event {
        Event::Propose { .. } => true,
        Event::Message(message) => message.r#type == MessageType::MsgProp as i32,
        _ => false,
    }
}

impl Driver {
    /// Whether proposals are to wait for the end of the write under way.
    pub(crate) fn gathers(&self) -> bool {
        self.leads()
            && !self.is_sole_voter()
            && self.gathering.handed > self.published.commit.load(Ordering::Relaxed)
            && self.gathering.bytes < GATHER_BYTES
            && self
                .stall
                .oldest()
                .is_some_and(|tick| self.ticks <= tick + 1)
    }

    /// What was gathered, once it need not wait any longer.
    pub(super) fn gathered(&mut self) -> Vec<Event> {
        if self.gathering.events.is_empty() || self.gathers() || !self.has_leader() {
            return Vec::new();
        }
        self.gathering.bytes = 0;
        std::mem::take(&mut self.gathering.events)
    }
}
