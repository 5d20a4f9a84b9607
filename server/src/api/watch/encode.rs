//! `WatchResponse`, made of event bytes that all watchers share.

use bytes::Bytes;
use varve_proto::wire;

use crate::api::header::{header_len, put_header};
use crate::core::Header;
use crate::rpc::{EncodedMessage, MessageBuilder};

/// Field number of the events.
const EVENTS: u32 = 11;

/// Everything of a response but its events and its header's fixed part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) watch_id: i64,
    /// The header's revision: everything up to it was sent.
    pub(super) revision: i64,
    pub(super) created: bool,
    pub(super) canceled: bool,
    pub(super) compact_revision: i64,
    pub(super) cancel_reason: String,
    pub(super) fragment: bool,
}

impl Answer {
    fn len(&self, header: &Header) -> usize {
        let reason = match self.cancel_reason.len() {
            0 => 0,
            n => wire::len_delimited_size(6, n),
        };
        header_len(header, self.revision)
            + wire::field_size(2, self.watch_id.cast_unsigned())
            + wire::field_size(3, u64::from(self.created))
            + wire::field_size(4, u64::from(self.canceled))
            + wire::field_size(5, self.compact_revision.cast_unsigned())
            + reason
            + wire::field_size(7, u64::from(self.fragment))
    }
}

/// The response. Event bytes are copied when small and shared when not.
pub(super) fn response(header: &Header, answer: &Answer, events: Vec<Bytes>) -> EncodedMessage {
    let events_len: usize = events.iter().map(|e| event_len(e)).sum();
    let mut out = MessageBuilder::with_capacity(answer.len(header) + events_len.min(16 * 1024));
    let buf = out.buf();
    put_header(buf, header, answer.revision);
    wire::put_int64(buf, 2, answer.watch_id);
    wire::put_bool(buf, 3, answer.created);
    wire::put_bool(buf, 4, answer.canceled);
    wire::put_int64(buf, 5, answer.compact_revision);
    if !answer.cancel_reason.is_empty() {
        wire::put_len_delimited(buf, 6, answer.cancel_reason.as_bytes());
    }
    wire::put_bool(buf, 7, answer.fragment);
    for event in events {
        wire::put_len_delimited_head(out.buf(), EVENTS, event.len());
        out.push(event);
    }
    out.finish()
}

fn event_len(event: &[u8]) -> usize {
    wire::len_delimited_size(EVENTS, event.len())
}

/// Splits events so that each response stays below `limit_bytes`, except that every response has at
/// least one event. What fits into one response is not split.
pub(super) fn split(
    header: &Header,
    answer: &Answer,
    events: Vec<Bytes>,
    limit_bytes: usize,
) -> impl Iterator<Item = Vec<Bytes>> {
    let fixed = Answer {
        fragment: true,
        ..answer.clone()
    }
    .len(header);
    let mut rest = events.into_iter().peekable();
    let mut first = true;
    std::iter::from_fn(move || {
        let event = match rest.next() {
            Some(event) => event,
            // A response without events is sent as it is.
            None if first => {
                first = false;
                return Some(Vec::new());
            }
            None => return None,
        };
        first = false;
        let mut len = fixed + event_len(&event);
        let mut piece = vec![event];
        while let Some(event) = rest.next_if(|event| len + event_len(event) < limit_bytes) {
            len += event_len(&event);
            piece.push(event);
        }
        Some(piece)
    })
}

#[cfg(test)]
mod tests;
