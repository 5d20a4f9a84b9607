//! Writers of plain puts: to fill a store, and to see how fast it takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::PutRequest;
use varve_proto::etcdserverpb::kv_client::KvClient;

/// Writers under way at one member, which must serve all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts `writers` of values of this length, each waiting for its answers.
    pub(crate) fn start(writers: usize, url: String, value_bytes: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
                let value = "v".repeat(value_bytes);
                let write = |n: usize| {
                    let mut kv = KvClient::new(channel.clone());
                    let (stopped, count, value) = (&stopped, &count, &value);
                    async move {
                        let mut i = 0;
                        while !stopped.load(Ordering::SeqCst) {
                            i += 1;
                            let put = put(format!("load/{n}/{}", i % 1000), value.clone());
                            kv.put(put).await.unwrap();
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
            thread,
        }
    }

    /// Puts acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Puts a second while `until` is not over: it is asked every 20 ms.
    pub(crate) fn rate(&self, mut until: impl FnMut() -> bool) -> (f64, Duration) {
        let (before, began) = (self.acknowledged(), Instant::now());
        while !until() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (count, took) = (self.acknowledged() - before, began.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let rate = count as f64 / took.as_secs_f64();
        (rate, took)
    }

    /// Ends them.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
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
