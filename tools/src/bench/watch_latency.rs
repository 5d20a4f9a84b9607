//! `varve-bench watch-latency`: the time from a write to its events.
//!
//! One client puts one key over a connection of its own; `--streams` watch streams, spread over
//! `--conns` connections, each carry `--watchers-per-stream` watchers of that key. The key is
//! random and new, so the version in an event says which put it belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::watch_client::WatchClient;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest, WatchResponse};

use super::args::{Global, WatchLatencyArgs};
use super::connect::{MAX_ANSWER_BYTES, connect_all, connect_one, per_client};
use super::keys::Random;
use super::recorder::Recorder;
use super::report::Report;
use super::server_stats::{Servers, Snapshot, Usage};

/// When each put began and ended, in nanoseconds after `origin`; 0 is "not yet".
struct Puts {
    origin: Instant,
    began_ns: Vec<AtomicU64>,
    ended_ns: Vec<AtomicU64>,
}

impl Puts {
    fn new(total: usize) -> Self {
        let zeros = || (0..total).map(|_| AtomicU64::new(0)).collect();
        Self {
            origin: Instant::now(),
            began_ns: zeros(),
            ended_ns: zeros(),
        }
    }

    fn now_ns(&self) -> u64 {
        // At least 1: 0 means "not yet".
        u64::try_from(self.origin.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// How long before `now_ns` put `number` began, and how long before it ended (zero when its
    /// answer is not there yet). `None` for a put that was never sent.
    fn since(&self, number: usize, now_ns: u64) -> Option<(Duration, Duration)> {
        let began = self.began_ns.get(number)?.load(Ordering::Acquire);
        let ended = self.ended_ns.get(number)?.load(Ordering::Acquire);
        if began == 0 {
            return None;
        }
        let since = |moment: u64| Duration::from_nanos(now_ns.saturating_sub(moment));
        Some((
            since(began),
            if ended == 0 {
                Duration::ZERO
            } else {
                since(ended)
            },
        ))
    }
}

/// One watch stream with its watchers created.
struct WatchStream {
    messages: Streaming<WatchResponse>,
    /// Dropping it would end the stream.
    _requests: mpsc::Sender<WatchRequest>,
    sample_interval: Option<Duration>,
    started: Instant,
}

/// Latencies of the events of one stream.
struct Events {
    from_put_end: Recorder,
    from_put_start: Recorder,
}

pub(super) async fn run(global: &Global, args: &WatchLatencyArgs) -> anyhow::Result<Vec<Report>> {
    let mut random = Random::new(global.seed);
    // A seed fixes the value only: the key must be new to the server.
    let key = Random::new(None).bytes(args.key_size);
    let value = random.bytes(args.val_size);
    let total = usize::try_from(args.put_total).context("--put-total is too large")?;

    let sample_interval = global.sample.then_some(global.sample_interval);
    let mut recorder = Recorder::new(sample_interval)?;
    let channels = connect_all(global).await?;
    let mut kv = KvClient::new(connect_one(global).await?);
    let mut streams = Vec::with_capacity(args.streams);
    for channel in per_client(args.streams, &channels, |channel, _| channel) {
        streams.push(open_stream(channel, &key, args, sample_interval).await?);
    }

    let servers_before = Servers::begin(&global.server_pid)?;
    let own_before = Snapshot::of_self()?;
    let puts = Arc::new(Puts::new(total));
    let watchers = u64::try_from(args.watchers_per_stream).context("--watchers-per-stream")?;
    let stream_count = u64::try_from(args.streams).context("--streams")?;
    let per_stream = args.put_total.saturating_mul(watchers);
    let progress = ProgressBar::new(per_stream.saturating_mul(stream_count));
    let readers: Vec<JoinHandle<anyhow::Result<Events>>> = streams
        .into_iter()
        .map(|s| tokio::spawn(read_events(s, puts.clone(), per_stream, progress.clone())))
        .collect();

    let started = Instant::now();
    for number in 0..total {
        wait_until_due(started, number, args.put_rate).await?;
        let put = PutRequest {
            key: key.clone(),
            value: value.clone(),
            ..Default::default()
        };
        let began = Instant::now();
        puts.began_ns[number].store(puts.now_ns(), Ordering::Release);
        kv.put(put)
            .await
            .context("a put failed; its events cannot be waited for")?;
        puts.ended_ns[number].store(puts.now_ns(), Ordering::Release);
        recorder.record(began.elapsed(), started.elapsed());
    }
    let puts_elapsed = started.elapsed();

    let mut events = Events {
        from_put_end: Recorder::new(sample_interval)?,
        from_put_start: Recorder::new(sample_interval)?,
    };
    for reader in readers {
        let stream = reader.await.context("a watch stream panicked")??;
        events.from_put_end.merge(&stream.from_put_end)?;
        events.from_put_start.merge(&stream.from_put_start)?;
    }
    let elapsed = started.elapsed();
    progress.finish_and_clear();

    let client = Usage::between(&own_before, &Snapshot::of_self()?);
    let servers = servers_before.end()?;
    let report = |name, elapsed, recorder| Report {
        name,
        elapsed,
        recorder,
        client: client.clone(),
        servers: servers.clone(),
        hash_kv: None,
    };
    Ok(vec![
        report("watch-latency-put", puts_elapsed, recorder),
        report("watch-latency-watch", elapsed, events.from_put_end),
        report(
            "watch-latency-watch-from-put-start",
            elapsed,
            events.from_put_start,
        ),
    ])
}

/// Waits for the due time of put `number`. Unlike the other commands' rates this is only a brake,
/// as in etcd's benchmark: latencies run from the send.
async fn wait_until_due(started: Instant, number: usize, rate: u32) -> anyhow::Result<()> {
    if rate > 0 {
        let number = u32::try_from(number).context("--put-total is too large for a rate")?;
        let due = started + Duration::from_secs(1) / rate * number;
        tokio::time::sleep_until(due.into()).await;
    }
    Ok(())
}

/// Opens a stream and waits until all its watchers are created.
async fn open_stream(
    channel: Channel,
    key: &Bytes,
    args: &WatchLatencyArgs,
    sample_interval: Option<Duration>,
) -> anyhow::Result<WatchStream> {
    let (requests, outgoing) = mpsc::channel(args.watchers_per_stream);
    let create = WatchCreateRequest {
        key: key.clone(),
        prev_kv: args.prevkv,
        ..Default::default()
    };
    for _ in 0..args.watchers_per_stream {
        let request = RequestUnion::CreateRequest(create.clone());
        requests.try_send(WatchRequest {
            request_union: Some(request),
        })?;
    }
    let mut client = WatchClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
    let mut messages = client
        .watch(ReceiverStream::new(outgoing))
        .await
        .context("opening a watch stream")?
        .into_inner();
    for _ in 0..args.watchers_per_stream {
        let answer = messages
            .message()
            .await?
            .context("the server ended a watch stream")?;
        ensure!(
            answer.created && !answer.canceled,
            "a watch was refused: {answer:?}"
        );
    }
    Ok(WatchStream {
        messages,
        _requests: requests,
        sample_interval,
        started: Instant::now(),
    })
}

/// Takes `expected` events off a stream.
async fn read_events(
    mut stream: WatchStream,
    puts: Arc<Puts>,
    expected: u64,
    progress: ProgressBar,
) -> anyhow::Result<Events> {
    let mut events = Events {
        from_put_end: Recorder::new(stream.sample_interval)?,
        from_put_start: Recorder::new(stream.sample_interval)?,
    };
    let mut seen_of_watch: BTreeMap<i64, i64> = BTreeMap::new();
    let mut seen = 0;
    while seen < expected {
        let message = stream.messages.message().await?;
        let message = message.context("the server ended a watch stream")?;
        let now_ns = puts.now_ns();
        let ended = stream.started.elapsed();
        if message.canceled {
            bail!(
                "the server canceled watch {}: {}",
                message.watch_id,
                message.cancel_reason
            );
        }
        let last = seen_of_watch.entry(message.watch_id).or_default();
        for event in &message.events {
            let version = event.kv.as_ref().map_or(0, |kv| kv.version);
            ensure!(
                version == *last + 1,
                "watch {} sent version {version} after {last}",
                message.watch_id
            );
            *last = version;
            let since = usize::try_from(version - 1)
                .ok()
                .and_then(|n| puts.since(n, now_ns));
            let (from_start, from_end) =
                since.with_context(|| format!("an event of version {version}, never put"))?;
            events.from_put_start.record(from_start, ended);
            events.from_put_end.record(from_end, ended);
            seen += 1;
            progress.inc(1);
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests;
