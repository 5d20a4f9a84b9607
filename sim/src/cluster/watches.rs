//! Clients that watch: each goes on behind what it has seen, at whichever member serves it.

use std::sync::Arc;

use varve_mvcc::{WatchItem, WatchOptions, WatchStream};
use varve_proto::mvccpb::{Event as StoredEvent, event::EventType};
use varve_proto::prost::Message as _;
use varve_server::stepped::Member;

use super::clients::range_of;
use super::ledger::stored;
use crate::check::{Property, Violation};
use crate::history::{Batch, Event, Notice, Span, Watch};

/// Bytes of events a client takes at a time.
const TAKEN_BYTES: usize = 400;

/// A client that watches.
pub(super) struct Session {
    number: usize,
    pub(super) span: Span,
    pub(super) previous: bool,
    /// Where it goes on, 0 for whatever comes.
    from: i64,
    /// The member it asks.
    pub(super) slot: u64,
    stream: Option<WatchStream>,
    current: Option<Watch>,
    /// What it was told so far.
    pub(super) done: Vec<Watch>,
}

impl Session {
    pub(super) fn new(number: usize, span: Span, previous: bool, from: i64, slot: u64) -> Self {
        Self {
            number,
            span,
            previous,
            from,
            slot,
            stream: None,
            current: None,
            done: Vec::new(),
        }
    }

    /// The member is gone, or the client turns away from it.
    pub(super) fn leave(&mut self) {
        self.stream = None;
        if let Some(watch) = self.current.take() {
            self.from = watch.resume();
            self.done.push(watch);
        }
    }

    /// Takes what has come, from this member; the number of events.
    pub(super) fn take(&mut self, member: &Member) -> Result<usize, Violation> {
        if self.stream.is_none() {
            self.open(member)?;
        }
        let Some(stream) = &self.stream else {
            return Ok(0);
        };
        let items = stream.drain(TAKEN_BYTES);
        let mut events = 0;
        for item in items {
            match item {
                WatchItem::Events {
                    revision,
                    events: encoded,
                    ..
                } => {
                    let notices = encoded
                        .into_iter()
                        .map(notice)
                        .collect::<Result<Vec<_>, _>>()?;
                    events += notices.len();
                    self.told(Batch { revision, notices });
                }
                WatchItem::Progress { revision, .. } => self.told(Batch {
                    revision,
                    notices: Vec::new(),
                }),
                WatchItem::Compacted {
                    compact_revision, ..
                } => {
                    self.leave();
                    self.from = self.from.max(compact_revision + 1);
                    return Ok(events);
                }
            }
        }
        Ok(events)
    }

    fn told(&mut self, batch: Batch) {
        if let Some(watch) = &mut self.current {
            watch.batches.push(batch);
        }
    }

    fn open(&mut self, member: &Member) -> Result<(), Violation> {
        let stream = member.store().watch_stream(Arc::new(|| {}));
        let (key, end) = range_of(&self.span);
        let (_, revision) = stream
            .watch(WatchOptions {
                key,
                end,
                start_revision: self.from,
                prev_kv: self.previous,
                ..WatchOptions::default()
            })
            .map_err(|e| Violation::new(Property::Watch, e.to_string()))?;
        if self.from == 0 {
            self.from = revision + 1;
        }
        self.current = Some(Watch {
            name: format!("watch {} at member {}", self.number, self.slot),
            span: self.span.clone(),
            from: self.from,
            with_previous: self.previous,
            batches: Vec::new(),
            reached: 0,
        });
        self.stream = Some(stream);
        Ok(())
    }

    /// Takes all that there is, from a member that has everything; it must reach `revision`.
    pub(super) fn finish(&mut self, member: &Member, revision: i64) -> Result<usize, Violation> {
        let mut events = 0;
        loop {
            let taken = self.take(member)?;
            events += taken;
            let stepped = member.store().step_watchers();
            if taken == 0 && !stepped && self.stream.is_some() {
                break;
            }
        }
        if let Some(watch) = &mut self.current {
            watch.reached = revision;
        }
        self.leave();
        Ok(events)
    }
}

fn notice(encoded: bytes::Bytes) -> Result<Notice, Violation> {
    let event =
        StoredEvent::decode(encoded).map_err(|e| Violation::new(Property::Watch, e.to_string()))?;
    let kind = event.r#type();
    let kv = event.kv.unwrap_or_default();
    Ok(Notice {
        event: match kind {
            EventType::Put => Event::Put(stored(kv)),
            EventType::Delete => Event::Delete {
                key: kv.key,
                revision: kv.mod_revision,
            },
        },
        previous: event.prev_kv.map(stored),
    })
}
