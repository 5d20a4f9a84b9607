//! Fewer appends that say the same.
//!
//! Part of the [`Driver`](super::Driver), on the raft thread. Every message costs its receiver a wake-up, an
//! append of its own and an answer; what leaves at one moment for one member need be said once.
use varve_proto::raftpb::{Message, MessageType};

/// Payload bytes up to which appends are put together: what the core puts into one at most.
const APPEND_BYTES: usize = 1 << 20;

/// Puts an append that goes on where the one before it to the same member ended into that one; an append
/// without entries only brings a newer commit index. The core counts each as under way: the acknowledgement
/// of the last covers them all.
pub(super) fn merge_appends(messages: &mut Vec<Message>) {
    let mut kept: Vec<Message> = Vec::with_capacity(messages.len());
    for mut message in messages.drain(..) {
        let before = kept.iter_mut().rev().find(|m| m.to == message.to);
        match before {
            Some(before) if continues(before, &message) => {
                before.commit = before.commit.max(message.commit);
                before.entries.append(&mut message.entries);
            }
            _ => kept.push(message),
        }
    }
    *messages = kept;
}

/// Whether an append says nothing that the one before it, made longer, does not say.
fn continues(before: &Message, next: &Message) -> bool {
    let is_append = |m: &Message| m.r#type == MessageType::MsgApp as i32;
    if !is_append(before) || !is_append(next) || before.term != next.term {
        return false;
    }
    let (log_term, index) = match before.entries.last() {
        Some(last) => (last.term, last.index),
        None => (before.log_term, before.index),
    };
    let bytes = |m: &Message| -> usize {
        let data = |e: &varve_proto::raftpb::Entry| e.data.as_ref().map_or(0, bytes::Bytes::len);
        m.entries.iter().map(data).sum()
    };
    next.log_term == log_term
        && next.index == index
        && (next.entries.is_empty() || bytes(before) + bytes(next) <= APPEND_BYTES)
}

#[cfg(test)]
mod tests;
