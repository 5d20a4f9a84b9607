//! A compaction of a million revisions under foreground puts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use varve_mvcc::{Publish, Store, StoreOptions};

use crate::bed::{directory, fill, on_disk, pod, put, ratio, scattered, settle, thread_nanos};
use crate::table::Table;

const KEYS: u64 = 100_000;
const DEAD: u64 = 1_000_000;

pub(crate) fn run(table: &mut Table) {
    let dir = directory();
    let store = on_disk(
        &dir.path().join("db"),
        StoreOptions {
            publish: Publish::WhenRead,
            ..StoreOptions::default()
        },
    );
    let value = Bytes::from_static(&[b'v'; 64]);
    fill(&store, KEYS, 64);
    for n in 0..DEAD / 1000 {
        let mut txn = store.write();
        for k in 0..1000 {
            let key = pod((scattered(n) + k * 97) % KEYS);
            txn.put(key, value.clone(), 0).expect("no lease is named");
        }
        txn.end();
    }
    settle(&store);
    let before = puts(&store, &value, &for_seconds(5));
    let at = store.revision();
    let rows = store.stats().compacted_rows;
    let mut txn = store.write();
    txn.compact(at).expect("newer than the last one");
    txn.end();
    let began = Instant::now();
    let during = puts(&store, &value, &|| store.compaction_done(at));
    let took = began.elapsed().as_secs_f64();
    let rows = store.stats().compacted_rows - rows;
    let after = puts(&store, &value, &for_seconds(5));
    let without = f64::midpoint(before.mean, after.mean);
    table.row(
        &format!("a put, {PUTS_PER_MS},000 per second, while {rows} revisions are compacted"),
        &format!(
            "{:.2} us; without {without:.2} us ({:.2} before, {:.2} after): {:+.1} %; processor time {:.2} us, without \
             {:.2} us; p99 {:.0} us, without {:.0} us; \
             longest {:.1} ms, without {:.1} ms; it took {took:.1} s",
            during.mean,
            before.mean,
            after.mean,
            (during.mean / without - 1.0) * 100.0,
            during.cpu,
            f64::midpoint(before.cpu, after.cpu),
            during.p99,
            before.p99,
            during.longest / 1000.0,
            before.longest / 1000.0,
        ),
        "less than 10 % slower (etcd: 47 %)",
    );
}

const PUTS_PER_MS: u64 = 20;

fn for_seconds(seconds: u64) -> impl Fn() -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    move || Instant::now() > end
}

/// Microseconds.
struct Times {
    mean: f64,
    /// Processor time of the thread that puts.
    cpu: f64,
    p99: f64,
    longest: f64,
}

/// Puts at a fixed rate until told to stop: how long each takes, waiting for locks included. Its inverse
/// is the rate that one writer could reach.
fn puts(store: &Store, value: &Bytes, until: &dyn Fn() -> bool) -> Times {
    let mut nanos: Vec<u64> = Vec::new();
    let mut n = 0;
    let mut due = Instant::now();
    let cpu = thread_nanos();
    while !until() {
        for _ in 0..PUTS_PER_MS {
            n += 1;
            let key = pod(scattered(n) % KEYS);
            let start = Instant::now();
            put(store, key, value.clone());
            nanos.push(u64::try_from(start.elapsed().as_nanos()).expect("short"));
        }
        // A pause that came late is not made up for: no burst follows it.
        due = (due + Duration::from_millis(1)).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let cpu = thread_nanos() - cpu;
    nanos.sort_unstable();
    let us = |nanos| ratio(nanos, 1000);
    Times {
        mean: us(nanos.iter().sum()) / ratio(nanos.len() as u64, 1),
        cpu: us(cpu) / ratio(nanos.len() as u64, 1),
        p99: us(nanos[nanos.len() * 99 / 100]),
        longest: us(*nanos.last().expect("at least a millisecond's")),
    }
}
