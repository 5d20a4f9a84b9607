//! Watch: many watchers on one bidirectional stream.
//!
//! One task per stream reads requests, drains the store's queue for the stream and sends, one after
//! another. While a client does not read, the task waits in `send`; the store's queue is bounded, and
//! watchers that overflow it catch up from the backend later. Source of the observable behaviour: etcd
//! `server/etcdserver/api/v3rpc/watch.go`.
//!
//! # Invariants
//! 1. A watcher's `created` precedes everything else about it, its `canceled` follows everything: both
//!    are sent by the one task that also sends events.
//! 2. Nothing is sent for an id that is not in `watchers`.

mod encode;
mod progress;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use varve_mvcc::{WatchItem, WatchOptions, WatchStream};
use varve_proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, watch_create_request::FilterType, watch_request::RequestUnion,
};

use super::outbound::Outbound;
use crate::core::Core;
use crate::rpc::{RequestStream, RpcError, SinkClosed, Status, decode};
use encode::Answer;

/// Bytes of events taken from the store's queue before requests are looked at again.
const DRAIN_BYTES: usize = 1 << 20;

/// Added to `--max-request-bytes` for what gRPC itself may take; responses are fragmented above it.
const OVERHEAD_BYTES: usize = 512 * 1024;

/// The id that stands for no watcher or for all of them.
const NO_WATCHER: i64 = -1;

/// What the stream keeps of a watcher; the rest is in the store.
#[derive(Debug)]
struct Watcher {
    fragment: bool,
    /// For watchers that asked to hear of progress: whether they were idle since the last tick.
    idle: Option<bool>,
}

/// Serves one stream until its client or the server ends it.
pub(super) async fn serve(
    core: &Arc<Core>,
    mut requests: RequestStream,
    out: Outbound,
) -> Result<(), Status> {
    let ready = Arc::new(Notify::new());
    let wake = Arc::clone(&ready);
    let mut session = Session {
        core,
        out,
        stream: core
            .store()
            .watch_stream(Arc::new(move || wake.notify_one())),
        watchers: HashMap::new(),
        fragment_bytes: core.config().max_request_bytes + OVERHEAD_BYTES,
    };
    let mut ticks = progress::ticker(core.config().watch_progress_notify_interval);
    let mut half_closed = false;
    loop {
        tokio::select! {
            // Requests first: a client that cancels must not wait behind its own flood of events.
            biased;
            () = session.out.closed() => return Ok(()),
            () = core.shutdown_signal() => return Err(RpcError::Stopped.into()),
            message = requests.next(), if !half_closed => match message {
                Some(message) => {
                    let message = message?;
                    session.out.received(message.len());
                    session.request(message).await?;
                }
                // The client may close its side and still listen.
                None => half_closed = true,
            },
            () = ready.notified() => {
                if session.drain().await? {
                    // There is more; the queue wakes only when it stops being empty.
                    ready.notify_one();
                }
            }
            _ = ticks.tick() => session.tick(),
        }
    }
}

struct Session<'a> {
    core: &'a Arc<Core>,
    out: Outbound,
    stream: WatchStream,
    watchers: HashMap<i64, Watcher>,
    fragment_bytes: usize,
}

impl Session<'_> {
    async fn request(&mut self, message: Bytes) -> Result<(), Status> {
        let request: WatchRequest = decode(message)?;
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await?,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id).await?,
            Some(RequestUnion::ProgressRequest(_)) => {
                // Unless every watcher is synced there is no answer; the client asks again.
                self.stream.request_progress();
            }
            None => tracing::info!("watch request without a content"),
        }
        Ok(())
    }

    async fn create(&mut self, create: WatchCreateRequest) -> Result<(), SinkClosed> {
        let filters = || {
            create
                .filters
                .iter()
                .filter_map(|f| FilterType::try_from(*f).ok())
        };
        let options = WatchOptions {
            id: Some(create.watch_id).filter(|id| *id != 0),
            // An empty key means the smallest one.
            key: if create.key.is_empty() {
                Bytes::from_static(b"\0")
            } else {
                create.key.clone()
            },
            end: create.range_end.clone(),
            start_revision: create.start_revision,
            no_put: filters().any(|f| f == FilterType::Noput),
            no_delete: filters().any(|f| f == FilterType::Nodelete),
            prev_kv: create.prev_kv,
        };
        let answer = match self.stream.watch(options) {
            Ok((id, revision)) => {
                let idle = create.progress_notify.then_some(true);
                self.watchers.insert(
                    id,
                    Watcher {
                        fragment: create.fragment,
                        idle,
                    },
                );
                Answer {
                    watch_id: id,
                    revision,
                    created: true,
                    ..Answer::default()
                }
            }
            Err(reason) => Answer {
                watch_id: NO_WATCHER,
                revision: self.core.store().revision(),
                created: true,
                canceled: true,
                cancel_reason: reason.to_string(),
                ..Answer::default()
            },
        };
        self.send(&answer, Vec::new()).await
    }

    async fn cancel(&mut self, id: i64) -> Result<(), SinkClosed> {
        if !self.stream.cancel(id) {
            return Ok(());
        }
        self.watchers.remove(&id);
        // What is still queued for it must not be taken for a later watcher's of the same id.
        while self.drain().await? {}
        let revision = self.core.store().revision();
        let answer = Answer {
            watch_id: id,
            revision,
            canceled: true,
            ..Answer::default()
        };
        self.send(&answer, Vec::new()).await
    }

    /// Asks for a progress answer on every watcher that wants to hear and was idle. It comes through
    /// the queue, behind the events before it.
    fn tick(&mut self) {
        for (id, watcher) in &mut self.watchers {
            if let Some(idle) = &mut watcher.idle {
                if *idle {
                    self.stream.request_progress_of(*id);
                }
                *idle = true;
            }
        }
    }

    /// Sends what waits, up to a bound. Returns whether more may be waiting.
    async fn drain(&mut self) -> Result<bool, SinkClosed> {
        let items = self.stream.drain(DRAIN_BYTES);
        let more = !items.is_empty();
        for item in items {
            match item {
                WatchItem::Events {
                    id,
                    revision,
                    events,
                } => {
                    let Some(watcher) = self.watchers.get_mut(&id) else {
                        continue;
                    };
                    if let Some(idle) = &mut watcher.idle {
                        *idle = false;
                    }
                    let fragment = watcher.fragment;
                    let answer = Answer {
                        watch_id: id,
                        revision,
                        ..Answer::default()
                    };
                    if fragment {
                        self.send_in_fragments(&answer, events).await?;
                    } else {
                        self.send(&answer, events).await?;
                    }
                }
                WatchItem::Compacted {
                    id,
                    compact_revision,
                } => {
                    if self.watchers.remove(&id).is_some() {
                        let answer = Answer {
                            watch_id: id,
                            canceled: true,
                            compact_revision,
                            ..Answer::default()
                        };
                        self.send(&answer, Vec::new()).await?;
                    }
                }
                WatchItem::Progress { id, revision } => {
                    if id == NO_WATCHER || self.watchers.contains_key(&id) {
                        let answer = Answer {
                            watch_id: id,
                            revision,
                            ..Answer::default()
                        };
                        self.send(&answer, Vec::new()).await?;
                    }
                }
            }
        }
        Ok(more)
    }

    async fn send_in_fragments(
        &self,
        answer: &Answer,
        events: Vec<Bytes>,
    ) -> Result<(), SinkClosed> {
        let header = self.core.header();
        let mut pieces = encode::split(&header, answer, events, self.fragment_bytes).peekable();
        while let Some(events) = pieces.next() {
            let answer = Answer {
                fragment: pieces.peek().is_some(),
                ..answer.clone()
            };
            self.out
                .send(encode::response(&header, &answer, events))
                .await?;
        }
        Ok(())
    }

    async fn send(&self, answer: &Answer, events: Vec<Bytes>) -> Result<(), SinkClosed> {
        self.out
            .send(encode::response(&self.core.header(), answer, events))
            .await
    }
}
