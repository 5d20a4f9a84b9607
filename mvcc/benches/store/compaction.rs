//! A compaction of a million revisions under foreground puts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use varve_mvcc::StoreOptions;

use crate::bed::{directory, fill, on_disk, pod, put, ratio, scattered, settle};
use crate::table::Table;

const KEYS: u64 = 100_000;
const DEAD: u64 = 1_000_000;

pub(crate) fn run(table: &mut Table) {
    let dir = directory();
    let store = on_disk(&dir.path().join("db"), StoreOptions::default());
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
    let mut n = 0;
    let mut rate = |until: &dyn Fn() -> bool| {
        let (start, mut puts, mut longest) = (Instant::now(), 0, Duration::ZERO);
        while !until() || puts == 0 {
            // The condition costs a lock: not for each put.
            for _ in 0..100 {
                n += 1;
                let one = Instant::now();
                put(&store, pod(scattered(n) % KEYS), value.clone());
                longest = longest.max(one.elapsed());
            }
            puts += 100;
        }
        (
            ratio(puts, 1) / start.elapsed().as_secs_f64(),
            longest,
            start.elapsed(),
        )
    };
    let seconds = |s: u64| {
        let start = Instant::now();
        move || start.elapsed() > Duration::from_secs(s)
    };
    let (before, longest_before, _) = rate(&seconds(6));
    let at = store.revision();
    let rows = store.stats().compacted_rows;
    let mut txn = store.write();
    txn.compact(at).expect("newer than the last one");
    txn.end();
    let (during, longest, took) = rate(&|| store.compaction_done(at));
    let rows = store.stats().compacted_rows - rows;
    let (after, ..) = rate(&seconds(6));
    let without = f64::midpoint(before, after);
    table.row(
        &format!("puts per second while {rows} revisions are compacted"),
        &format!(
            "{during:.0}; without {without:.0} ({before:.0} before, {after:.0} after): {:.1} % slower; it took {:.1} s; \
             longest put {:.1} ms, without {:.1} ms",
            (1.0 - during / without) * 100.0,
            took.as_secs_f64(),
            longest.as_secs_f64() * 1000.0,
            longest_before.as_secs_f64() * 1000.0,
        ),
        "less than 10 % slower (etcd: 47 %)",
    );
}
