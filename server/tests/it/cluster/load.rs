//! Writers of plain puts: to fill a store, and to see how fast it takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::thread::{CpuSet, sched_setaffinity};
use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::{PutRequest, RangeRequest};

/// What writers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writers {
    pub(crate) count: usize,
    pub(crate) value_bytes: usize,
    /// Puts a second that are due, whether or not earlier ones are answered, as far as there are writers;
    /// `None`: each writer puts as soon as it has its answer.
    pub(crate) rate: Option<u32>,
    /// The one processor core they may use.
    pub(crate) core: Option<usize>,
}

/// Writers under way at one member, which must serve all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// How long each acknowledged put took since the last measurement began, in microseconds.
    took_us: Arc<Mutex<Vec<u32>>>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts writers.
    pub(crate) fn start(url: String, writers: Writers) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let took_us = Arc::new(Mutex::new(Vec::new()));
        let (stopped, took) = (Arc::clone(&stop), Arc::clone(&took_us));
        let thread = std::thread::spawn(move || {
            if let Some(core) = writers.core {
                let mut set = CpuSet::new();
                set.set(core);
                sched_setaffinity(None, &set).unwrap();
            }
            runtime().block_on(write(url, writers, &stopped, &took));
        });
        Self {
            stop,
            took_us,
            thread,
        }
    }

    /// What is put while `until` is not over: it is asked every 20 ms.
    pub(crate) fn measure(&self, mut until: impl FnMut() -> bool) -> Measure {
        self.took_us.lock().clear();
        let began = Instant::now();
        while !until() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let took_us = std::mem::take(&mut *self.took_us.lock());
        Measure {
            took: began.elapsed(),
            took_us,
        }
    }

    /// Ends them.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

async fn write(url: String, writers: Writers, stopped: &AtomicBool, took_us: &Mutex<Vec<u32>>) {
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let value = "v".repeat(writers.value_bytes);
    let (began, next) = (Instant::now(), AtomicU32::new(0));
    let one = |n: usize| {
        let mut kv = KvClient::new(channel.clone());
        let (value, next) = (&value, &next);
        async move {
            let mut i = 0;
            while !stopped.load(Ordering::SeqCst) {
                i += 1;
                let put = put(format!("load/{n}/{}", i % 1000), value.clone());
                let mut due = Instant::now();
                if let Some(rate) = writers.rate {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    due = began + Duration::from_secs(1) * number / rate;
                    tokio::time::sleep_until(due.into()).await;
                }
                kv.put(put).await.unwrap();
                let took = u32::try_from(due.elapsed().as_micros()).unwrap();
                took_us.lock().push(took);
            }
        }
    };
    futures_util::future::join_all((0..writers.count).map(one)).await;
}

/// Puts in some time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measure {
    pub(crate) took: Duration,
    took_us: Vec<u32>,
}

impl Measure {
    pub(crate) fn add(&mut self, mut other: Self) {
        self.took += other.took;
        self.took_us.append(&mut other.took_us);
        self.took_us.sort_unstable();
    }

    /// Puts a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.took_us.len()).unwrap()) / self.took.as_secs_f64()
    }

    /// How long a put takes that is slower than so many of a thousand.
    pub(crate) fn permille(&self, of_thousand: usize) -> Duration {
        let at = self.took_us.len() * of_thousand / 1000;
        let at = at.min(self.took_us.len().saturating_sub(1));
        let us = self.took_us.get(at).copied().unwrap_or_default();
        Duration::from_micros(us.into())
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
