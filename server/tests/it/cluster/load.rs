//! Writers that go on through everything and remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::{PutRequest, RangeRequest};

/// Writers under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Written>>,
}

/// What one writer has written: key to the newest acknowledged value.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) acknowledged: BTreeMap<String, u64>,
    /// The longest time between two acknowledgements.
    pub(crate) longest_gap: Duration,
    pub(crate) failures: u64,
}

impl Load {
    /// Starts `writers` that put at the members of `urls` in turn: on an error the next one.
    pub(crate) fn start(writers: usize, urls: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..writers)
            .map(|n| {
                let (stop, urls) = (Arc::clone(&stop), urls.clone());
                std::thread::spawn(move || {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap()
                        .block_on(write(n, &urls, &stop))
                })
            })
            .collect();
        Self { stop, writers }
    }

    /// Ends them. All of what they wrote and was acknowledged.
    pub(crate) fn finish(self) -> Vec<Written> {
        self.stop.store(true, Ordering::SeqCst);
        self.writers
            .into_iter()
            .map(|w| w.join().unwrap())
            .collect()
    }
}

async fn write(n: usize, urls: &[String], stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let mut at = n;
    let mut value = 0;
    let mut last = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        at += 1;
        let endpoint = Endpoint::from_shared(urls[at % urls.len()].clone())
            .unwrap()
            .connect_timeout(Duration::from_millis(500))
            .timeout(Duration::from_secs(3));
        let Ok(channel) = endpoint.connect().await else {
            written.failures += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut kv = KvClient::new(channel);
        while !stop.load(Ordering::SeqCst) {
            value += 1;
            let key = format!("load/{n}/{}", value % 50);
            let put = PutRequest {
                key: key.clone().into(),
                value: value.to_string().into(),
                ..PutRequest::default()
            };
            if kv.put(put).await.is_err() {
                written.failures += 1;
                break;
            }
            written.acknowledged.insert(key, value);
            written.longest_gap = written.longest_gap.max(last.elapsed());
            last = Instant::now();
        }
    }
    written
}

/// Asserts that a member has everything that was acknowledged: each key at that value or a later one
/// of its only writer (whose last attempt may have been applied without its knowledge).
#[track_caller]
pub(crate) fn assert_kept(url: &str, written: &[Written]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stored: BTreeMap<String, u64> = runtime.block_on(async {
        let mut kv = KvClient::connect(url.to_owned())
            .await
            .unwrap()
            .max_decoding_message_size(usize::MAX);
        let all = RangeRequest {
            key: "load/".into(),
            range_end: "load0".into(),
            ..RangeRequest::default()
        };
        let kvs = kv.range(all).await.unwrap().into_inner().kvs;
        kvs.into_iter()
            .map(|kv| {
                let key = String::from_utf8(kv.key.to_vec()).unwrap();
                let value = std::str::from_utf8(&kv.value).unwrap().parse().unwrap();
                (key, value)
            })
            .collect()
    });
    for (key, value) in written.iter().flat_map(|w| &w.acknowledged) {
        let kept = stored.get(key).copied().unwrap_or_default();
        assert!(
            kept >= *value,
            "{url}: {key} was acknowledged as {value}, is {kept}"
        );
    }
}

/// Puts of [`fill`] under way at once.
const BATCH: usize = 64;

/// Puts this many keys under a prefix.
pub(crate) fn fill(url: &str, prefix: &str, count: usize, value_bytes: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let kv = KvClient::connect(url.to_owned()).await.unwrap();
        let value = "v".repeat(value_bytes);
        let put = |i: usize| {
            let mut kv = kv.clone();
            let put = PutRequest {
                key: format!("{prefix}{i:08}").into(),
                value: value.clone().into(),
                ..PutRequest::default()
            };
            async move { kv.put(put).await.unwrap() }
        };
        for first in (0..count).step_by(BATCH) {
            let batch = (first..count.min(first + BATCH)).map(put);
            futures_util::future::join_all(batch).await;
        }
    });
}
