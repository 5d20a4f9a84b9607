//! Watches that go on where they were, whatever breaks them off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use varve_proto::etcdserverpb::watch_client::WatchClient;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{WatchProgressRequest, WatchRequest};
use varve_sim::history::{Span, Watch};

use super::convert::{batch, create};
use super::{PATIENCE, Shared, connect};

/// How often a watch looks for the end, and how many of these it waits before it asks for progress.
const BEAT: Duration = Duration::from_millis(100);
const BEATS: u32 = 5;
/// Beats after the end of everything after which what has not come is missing.
const END_BEATS: u32 = 600;

/// Watches one member from the beginning: everything with the pairs before the changes, or only the keys
/// that all clients share.
pub(super) async fn run(number: u64, narrow: bool, shared: Arc<Shared>) {
    let prefix: &'static [u8] = if narrow { b"h/k" } else { b"" };
    let mut from = 1;
    let mut beats = 0;
    loop {
        let url = shared.url(number);
        let mut watch = Watch {
            name: format!("watch {number} at {url}"),
            span: Span::Prefix(Bytes::from_static(prefix)),
            from,
            with_previous: !narrow,
            batches: Vec::new(),
            reached: 0,
        };
        let told = follow(&url, &mut watch, &shared, &mut beats).await;
        from = watch.resume();
        let last = shared.last();
        if last != 0 && (from > last || beats > END_BEATS) {
            watch.reached = last;
            return shared.record_watch(watch);
        }
        if !watch.batches.is_empty() {
            shared.record_watch(watch);
        }
        // Why it broke off does not matter, unless the member takes it for one that is behind.
        if let Err(Refused(why)) = told {
            panic!("watch {number} at {url} from {from}: {why}");
        }
        beats += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A watch that its member ended, which it may not.
struct Refused(String);

/// Follows a watch until it breaks off, or has seen everything in the end.
async fn follow(
    url: &str,
    watch: &mut Watch,
    shared: &Shared,
    beats: &mut u32,
) -> Result<(), Refused> {
    let Some(channel) = connect(url).await else {
        return Ok(());
    };
    let (requests, receiver) = mpsc::channel(4);
    let request = |union| WatchRequest {
        request_union: Some(union),
    };
    let first = create(&watch.span, watch.from, watch.with_previous);
    if requests
        .send(request(RequestUnion::CreateRequest(first)))
        .await
        .is_err()
    {
        return Ok(());
    }
    let mut client = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
    let opening = client.watch(ReceiverStream::new(receiver));
    let Ok(Ok(opened)) = timeout(PATIENCE, opening).await else {
        return Ok(());
    };
    let mut responses = opened.into_inner();
    let mut quiet = 0;
    loop {
        let last = shared.last();
        if last != 0 && watch.resume() > last {
            return Ok(());
        }
        let Ok(next) = timeout(BEAT, responses.message()).await else {
            quiet += 1;
            *beats += u32::from(last != 0);
            if last != 0 && *beats > END_BEATS {
                return Ok(());
            }
            let ask = shared.plan.progress && quiet % BEATS == 0;
            let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
            if ask && requests.try_send(request(progress)).is_err() {
                return Ok(());
            }
            continue;
        };
        let Ok(Some(response)) = next else {
            return Ok(());
        };
        if response.canceled {
            return Err(Refused(format!("{response:?}")));
        }
        if !response.created {
            watch.batches.push(batch(response));
        }
    }
}

/// Everything that ever changed, up to a revision.
pub(super) async fn whole(url: &str, last: i64, shared: &Shared) -> Watch {
    for _ in 0..50 {
        let mut watch = Watch {
            name: format!("the whole history at {url}"),
            span: Span::Prefix(Bytes::new()),
            from: 1,
            with_previous: true,
            batches: Vec::new(),
            reached: last,
        };
        let ended = follow(url, &mut watch, shared, &mut 0).await;
        if watch.resume() > last {
            return watch;
        }
        if let Err(Refused(why)) = ended {
            panic!("{url} does not tell its history: {why}");
        }
        tokio::time::sleep(BEAT).await;
    }
    panic!("{url} does not tell its history up to {last}");
}
