//! Writers of plain puts: to fill a store, and to see how fast it takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::{PutRequest, RangeRequest};

/// Writers under way at one member, which must serve all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    slowest_us: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts `writers` of values of this length, each waiting for its answers.
    pub(crate) fn start(writers: usize, url: String, value_bytes: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let slowest_us = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let slowest = Arc::clone(&slowest_us);
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
                let value = "v".repeat(value_bytes);
                let write = |n: usize| {
                    let mut kv = KvClient::new(channel.clone());
                    let (stopped, count, slowest, value) = (&stopped, &count, &slowest, &value);
                    async move {
                        let mut i = 0;
                        while !stopped.load(Ordering::SeqCst) {
                            i += 1;
                            let put = put(format!("load/{n}/{}", i % 1000), value.clone());
                            let began = Instant::now();
                            kv.put(put).await.unwrap();
                            let took = u64::try_from(began.elapsed().as_micros()).unwrap();
                            slowest.fetch_max(took, Ordering::SeqCst);
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                };
                futures_util::future::join_all((0..writers).map(write)).await;
            });
        });
        Self {
            stop,
            acknowledged,
            slowest_us,
            thread,
        }
    }

    /// What is put while `until` is not over: it is asked every 20 ms.
    pub(crate) fn measure(&self, mut until: impl FnMut() -> bool) -> Measure {
        let before = self.acknowledged.load(Ordering::SeqCst);
        self.slowest_us.store(0, Ordering::SeqCst);
        let began = Instant::now();
        while !until() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Measure {
            puts: self.acknowledged.load(Ordering::SeqCst) - before,
            took: began.elapsed(),
            slowest: Duration::from_micros(self.slowest_us.load(Ordering::SeqCst)),
        }
    }

    /// Ends them.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

/// Puts in some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measure {
    pub(crate) puts: u64,
    pub(crate) took: Duration,
    /// The longest that one of them took.
    pub(crate) slowest: Duration,
}

impl Measure {
    pub(crate) fn add(&mut self, other: Self) {
        self.puts += other.puts;
        self.took += other.took;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Puts a second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let puts = self.puts as f64;
        puts / self.took.as_secs_f64()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn put(key: String, value: String) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

/// The revision that a member has come to, if it answers at once.
pub(crate) fn revision(url: &str) -> Option<i64> {
    runtime().block_on(async {
        let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
        let endpoint = endpoint.timeout(Duration::from_millis(200));
        let mut kv = KvClient::new(endpoint.connect().await.ok()?);
        let nothing = RangeRequest {
            key: "none".into(),
            serializable: true,
            ..RangeRequest::default()
        };
        let response = kv.range(nothing).await.ok()?.into_inner();
        Some(response.header?.revision)
    })
}

/// Puts of [`fill`] under way at once.
const BATCH: usize = 64;

/// Puts this many keys under a prefix.
pub(crate) fn fill(url: &str, prefix: &str, count: usize, value_bytes: usize) {
    runtime().block_on(async {
        let kv = KvClient::connect(url.to_owned()).await.unwrap();
        let value = "v".repeat(value_bytes);
        let put = |i: usize| {
            let mut kv = kv.clone();
            let put = put(format!("{prefix}{i:08}"), value.clone());
            async move { kv.put(put).await.unwrap() }
        };
        for first in (0..count).step_by(BATCH) {
            let batch = (first..count.min(first + BATCH)).map(put);
            futures_util::future::join_all(batch).await;
        }
    });
}
