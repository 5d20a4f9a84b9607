//! Drives requests: closed loop, or open at a fixed rate.
//!
//! Closed (no rate): every client sends its next request when the last was answered. Open: request
//! i is due at `i / rate`; a pacing thread releases it then, the first free client takes it, and
//! its latency runs from the due time, so that a stall is charged to everything it delayed
//! (coordinated omission, see "How NOT to Measure Latency" by G. Tene).
//!
//! # Invariants
//!
//! 1. Requests are numbered 0..total, each sent exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tonic::Status;

use super::args::Global;
use super::recorder::Recorder;

/// One client: what it does for request `number`.
pub(crate) trait Operation: Send + 'static {
    /// Sends the request and takes the whole answer.
    fn call(&mut self, number: u64) -> impl Future<Output = Result<(), Status>> + Send;
}

/// How many requests, and how fast.
#[derive(Debug)]
pub(crate) struct Load {
    total: u64,
    rate_per_second: Option<u32>,
    recorder: Recorder,
}

/// What the clients of one run share.
#[derive(Debug)]
struct Shared {
    next: AtomicU64,
    total: u64,
    started: Instant,
    pace: Option<Pace>,
    recorder: Mutex<Recorder>,
    progress: ProgressBar,
}

/// Permits of an open load: one per request that is due.
#[derive(Debug)]
struct Pace {
    due: Semaphore,
    rate_per_second: u32,
}

impl Pace {
    /// When request `number` is due, after the start.
    fn due_after(&self, number: u64) -> Duration {
        let rate = u64::from(self.rate_per_second);
        let whole = Duration::from_secs(number / rate);
        whole + Duration::from_nanos((number % rate) * 1_000_000_000 / rate)
    }
}

impl Load {
    /// `rate` as in the flags: 0 is no limit.
    pub(crate) fn new(global: &Global, total: u64, rate: u32) -> anyhow::Result<Self> {
        let interval = global.sample.then_some(global.sample_interval);
        let rate_per_second = (rate > 0).then_some(rate);
        Ok(Self {
            total,
            rate_per_second,
            recorder: Recorder::new(interval)?,
        })
    }

    /// Sends everything and returns what was recorded.
    pub(crate) async fn run<O: Operation>(self, clients: Vec<O>) -> anyhow::Result<Recorder> {
        let pace = self.rate_per_second.map(|rate_per_second| Pace {
            due: Semaphore::new(0),
            rate_per_second,
        });
        let shared = Arc::new(Shared {
            next: AtomicU64::new(0),
            total: self.total,
            started: Instant::now(),
            pace,
            recorder: Mutex::new(self.recorder),
            progress: progress_bar(self.total),
        });
        let pacer = start_pacer(&shared).context("starting the pacing thread")?;
        let tasks: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::spawn(drive(client, shared.clone())))
            .collect();
        for task in tasks {
            task.await.context("a client ended early")?;
        }
        if let Some(pacer) = pacer {
            // All requests were released, or the clients would still wait: it is about to end.
            pacer.join().ok().context("the pacing thread panicked")?;
        }
        shared.progress.finish_and_clear();
        let shared = Arc::into_inner(shared).context("a client is still running")?;
        Ok(shared.recorder.into_inner())
    }
}

async fn drive<O: Operation>(mut client: O, shared: Arc<Shared>) {
    loop {
        let intended = match &shared.pace {
            None => None,
            Some(pace) => {
                let permit = pace
                    .due
                    .acquire()
                    .await
                    .expect("the semaphore is never closed");
                permit.forget();
                Some(pace)
            }
        };
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.total {
            return;
        }
        let start = match intended {
            None => Instant::now(),
            Some(pace) => shared.started + pace.due_after(number),
        };
        let outcome = client.call(number).await;
        let end = Instant::now();
        let mut recorder = shared.recorder.lock();
        match outcome {
            Ok(()) => {
                let latency = end.saturating_duration_since(start);
                recorder.record(latency, end.saturating_duration_since(shared.started));
            }
            Err(status) => recorder.record_error(&status),
        }
        drop(recorder);
        shared.progress.inc(1);
    }
}

/// Releases requests when they are due, and at the end one more per client so that all of them see
/// the end. A thread of its own: tokio's timers count whole milliseconds.
fn start_pacer(shared: &Arc<Shared>) -> std::io::Result<Option<std::thread::JoinHandle<()>>> {
    if shared.pace.is_none() {
        return Ok(None);
    }
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(move || {
            let Some(pace) = &shared.pace else { return };
            for number in 0..shared.total {
                let due = shared.started + pace.due_after(number);
                let wait = due.saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    std::thread::sleep(wait);
                }
                pace.due.add_permits(1);
            }
            pace.due.add_permits(Semaphore::MAX_PERMITS / 2);
        })?;
    Ok(Some(thread))
}

fn progress_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {percent}% {per_sec} {eta}");
    bar.set_style(style.expect("the template is constant and valid"));
    bar
}

#[cfg(test)]
mod tests;
