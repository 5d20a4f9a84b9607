//! Responses that wait for appends under way, and for nothing of their own.
//!
//! Part of the [`Driver`](super::Driver). While entries are being written the core's next append may say no
//! more than that the commit index moved: put off, it needs no write. But what answers it vouches for
//! everything given out before, so it waits here for that.
use std::collections::VecDeque;

use varve_proto::raftpb::Message;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Appends given out, and those of them that are durable, since the start.
    handed: u64,
    durable: u64,
    /// Responses, and how many appends have to be durable for them, in order.
    waiting: VecDeque<(u64, Vec<Message>)>,
}

impl Behind {
    /// Appends were given out to be written.
    pub(super) fn handed(&mut self, appends: usize) {
        self.handed += appends as u64;
    }

    /// Responses that vouch for all that was given out until now.
    pub(super) fn wait(&mut self, responses: Vec<Message>) {
        if !responses.is_empty() {
            self.waiting.push_back((self.handed, responses));
        }
    }

    /// The oldest appends are durable; what waited for them, in order.
    pub(super) fn durable(&mut self, appends: usize) -> Vec<Message> {
        self.durable += appends as u64;
        let ready = self
            .waiting
            .partition_point(|(for_, _)| *for_ <= self.durable);
        self.waiting.drain(..ready).flat_map(|(_, r)| r).collect()
    }
}

#[cfg(test)]
mod tests;
