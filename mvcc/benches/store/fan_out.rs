//! Events to many watchers of one prefix, and what stalled ones cost a writer.

use std::sync::Arc;

use bytes::Bytes;
use varve_mvcc::{
    Store, StoreOptions, WatchItem, WatchLimits, WatchOptions, WatchStream, prefix_end,
};

use crate::bed::{cpu_per_op, manual, on_nothing, pod, put, ratio, thread_nanos};
use crate::table::Table;

const STALLED: usize = 100;

fn watchers(store: &Store, count: usize, per_stream: usize) -> Vec<WatchStream> {
    let mut streams = Vec::new();
    let mut left = count;
    while left > 0 {
        let stream = store.watch_stream(Arc::new(|| {}));
        for _ in 0..per_stream.min(left) {
            let key = Bytes::from_static(b"/registry/pods/");
            let options = WatchOptions {
                end: prefix_end(&key),
                key,
                ..WatchOptions::default()
            };
            stream.watch(options).expect("a prefix has keys");
        }
        left = left.saturating_sub(per_stream);
        streams.push(stream);
    }
    streams
}

fn drain(streams: &[WatchStream]) -> u64 {
    let mut events = 0;
    for item in streams.iter().flat_map(|s| s.drain(usize::MAX)) {
        if let WatchItem::Events { events: told, .. } = item {
            events += told.len() as u64;
        }
    }
    events
}

pub(crate) fn run(table: &mut Table) {
    for (count, puts) in [(1, 300_000), (100, 20_000), (10_000, 300)] {
        let store = on_nothing(manual());
        let streams = watchers(&store, count, 100);
        let (mut putting, mut draining, mut events) = (0, 0, 0);
        for round in 0..puts / 100 {
            let start = thread_nanos();
            for n in 0..100 {
                put(&store, pod(round * 100 + n), Bytes::from_static(b"v"));
            }
            let middle = thread_nanos();
            events += drain(&streams);
            draining += thread_nanos() - middle;
            putting += middle - start;
        }
        assert_eq!(events, puts / 100 * 100 * count as u64);
        let rate = |nanos| ratio(events * 1000, nanos);
        table.row(
            &format!("events to {count} watchers of one prefix"),
            &format!(
                "{:.2} M/s queued by the writer ({:.1} us per put), {:.2} M/s drained",
                rate(putting),
                ratio(putting, puts) / 1000.0,
                rate(draining)
            ),
            "",
        );
    }
}

/// Ten thousand watchers, a hundred of which never drain: each on a stream of its own.
///
/// Where a store's queues lie in memory makes a difference of several percent between two stores of
/// which none has stalled watchers. So there are two pairs: in one the store with stalled watchers was made
/// first, in the other the one without, and turns alternate.
pub(crate) fn stalled(table: &mut Table) {
    const ROUNDS: u64 = 40;
    const PUTS: u64 = 10;
    let options = || StoreOptions {
        watch: WatchLimits {
            queue_bytes: 16 << 10,
            ..WatchLimits::default()
        },
        ..manual()
    };
    let mut nanos: [Vec<f64>; 2] = Default::default();
    for stalled_first in [false, true] {
        let store = [on_nothing(options()), on_nothing(options())];
        let all: Vec<_> = store.iter().map(|s| watchers(s, 10_000, 1)).collect();
        let stalled_side = usize::from(!stalled_first);
        for round in 0..ROUNDS {
            for turn in 0..2 {
                let side = (turn + usize::from(round % 2 == 1)) % 2;
                let stalled = if side == stalled_side { STALLED } else { 0 };
                let each = cpu_per_op(PUTS, |n| {
                    put(&store[side], pod(n), Bytes::from_static(&[b'v'; 256]));
                });
                // At first those who stall are told too.
                if round * PUTS > 60 {
                    nanos[usize::from(stalled > 0)].push(each);
                }
                drain(&all[side][stalled..]);
                // Those who are behind try again meanwhile, as the background thread would make them.
                store[side].step_watchers();
            }
        }
        let slow = store[stalled_side].stats().slow_watchers;
        assert_eq!(slow, STALLED, "they fell behind");
    }
    let [none, some] = nanos.map(|mut each| {
        each.sort_unstable_by(f64::total_cmp);
        each[each.len() / 2] / 1000.0
    });
    table.row(
        &format!("put beside 10,000 watchers, {STALLED} of them stalled"),
        &format!(
            "median {some:.0} us, with none stalled {none:.0} us: {:+.1} %",
            (some / none - 1.0) * 100.0,
        ),
        "less than 5 % slower",
    );
}
