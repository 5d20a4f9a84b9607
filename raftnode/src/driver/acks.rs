//! Acknowledgements, and which of them are worth a message.
//!
//! Part of the [`Driver`](super::Driver), on the raft thread. A leader tells of a commit at once, in an
//! append without entries; a follower's answer to that says what it said before. Where entries keep coming
//! the answer to the next ones says more, so a repetition waits for that, or for the next tick: a leader that
//! asks because an answer was lost must get one.
use varve_proto::raftpb::{Message, MessageType};

/// What this member told a leader.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    /// Receiver, term and index of the last one.
    last: Option<(u64, u64, u64)>,
    /// A repetition of it that was not sent.
    held: Option<Message>,
}

impl Acknowledgements {
    /// Takes out of `messages`, which are about to be sent, what they say twice, and what was said before.
    pub(super) fn thin_out(&mut self, messages: &mut Vec<Message>) {
        keep_last_acknowledgement(messages);
        let mut at = 0;
        while at < messages.len() {
            let message = &messages[at];
            let said = (message.to, message.term, message.index);
            if message.r#type != MessageType::MsgAppResp as i32 {
                at += 1;
            } else if is_acknowledgement(message) && self.last == Some(said) {
                self.held = Some(messages.remove(at));
            } else {
                self.last = is_acknowledgement(message).then_some(said);
                self.held = None;
                at += 1;
            }
        }
    }

    /// A tick has passed: what was held back and is still the last word.
    pub(super) fn due(&mut self) -> Option<Message> {
        self.held.take()
    }
}

fn is_acknowledgement(message: &Message) -> bool {
    message.r#type == MessageType::MsgAppResp as i32 && !message.reject
}

/// Of several acknowledgements to one member the last says it all, if none is a refusal.
fn keep_last_acknowledgement(messages: &mut Vec<Message>) {
    let is_ack = is_acknowledgement;
    let mut at = 0;
    while at < messages.len() {
        let m = &messages[at];
        let later = is_ack(m)
            && messages[at + 1..]
                .iter()
                .any(|n| is_ack(n) && n.to == m.to && n.term == m.term && n.index >= m.index);
        if later {
            messages.remove(at);
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
