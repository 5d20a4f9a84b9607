//! Reads with and without a writer beside them.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use varve_mvcc::{RangeOptions, Store, prefix_end};

use crate::bed::{cpu_per_op, filled, pod, put, scattered, settle};
use crate::table::Table;

const KEYS: u64 = 200_000;
const ROUNDS: usize = 5;

struct Case {
    name: &'static str,
    ops: u64,
    /// Keys per answer; 0 for a single key.
    limit: i64,
    old: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "point get, latest",
        ops: 60_000,
        limit: 0,
        old: false,
    },
    Case {
        name: "point get, old revision",
        ops: 60_000,
        limit: 0,
        old: true,
    },
    Case {
        name: "range of 10, latest",
        ops: 15_000,
        limit: 10,
        old: false,
    },
    Case {
        name: "range of 10, old revision",
        ops: 15_000,
        limit: 10,
        old: true,
    },
    Case {
        name: "range of 10,000, latest",
        ops: 40,
        limit: 10_000,
        old: false,
    },
    Case {
        name: "range of 10,000, old revision",
        ops: 40,
        limit: 10_000,
        old: true,
    },
];

/// The 10 or 10,000 names from `n` on lie in one namespace, or in five.
fn options(case: &Case, n: u64, old: i64) -> RangeOptions {
    let key = pod(scattered(n) % (KEYS / 2));
    let mut options = RangeOptions::key(key.clone());
    options.revision = if case.old { old } else { 0 };
    match case.limit {
        0 => {}
        10 => {
            // Names of a namespace are a hundred apart.
            let last = pod(scattered(n) % (KEYS / 2) + 1000);
            options.end = last;
        }
        _ => {
            let first = format!("/registry/pods/namespace-{:03}/", n % 90);
            let last = format!("/registry/pods/namespace-{:03}/", n % 90 + 5);
            options.key = first.into();
            options.end = last.into();
        }
    }
    options
}

fn measure(store: &Store, case: &Case, old: i64) -> f64 {
    let mut kvs = 0;
    let nanos = cpu_per_op(case.ops, |n| {
        let found = store.read().range(&options(case, n, old)).expect("kept");
        kvs += found.kvs.len();
        black_box(found);
    });
    let expected = case.ops * u64::try_from(case.limit.max(1)).expect("positive");
    assert_eq!(kvs as u64, expected, "{}", case.name);
    nanos
}

fn beside_a_writer(store: &Store, f: impl FnOnce() -> f64) -> (f64, u64) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                put(store, pod(scattered(n) % KEYS), Bytes::from_static(b"w"));
                n += 1;
            }
            n
        });
        let result = f();
        stop.store(true, Ordering::Relaxed);
        (result, writer.join().expect("the writer only puts"))
    })
}

pub(crate) fn run(table: &mut Table) {
    let all = RangeOptions::prefix(Bytes::from_static(b"/registry/"));
    assert_eq!(all.end, prefix_end(b"/registry/"));
    for case in &CASES {
        // A fresh store each: the writer makes histories longer and the file larger.
        let (store, _dir, _) = filled(KEYS, 128);
        let old = store.revision();
        for n in 0..KEYS {
            put(&store, pod(n), Bytes::from_static(&[b'n'; 128]));
        }
        settle(&store);
        let (mut alone, mut beside, mut written) = (f64::MAX, f64::MAX, 0);
        for _ in 0..ROUNDS {
            alone = alone.min(measure(&store, case, old));
            let (nanos, puts) = beside_a_writer(&store, || measure(&store, case, old));
            beside = beside.min(nanos);
            written += puts;
            settle(&store);
        }
        table.row(
            case.name,
            &format!(
                "{:.2} us; beside a writer ({written} puts) {:.2} us, ratio {:.2}",
                alone / 1000.0,
                beside / 1000.0,
                beside / alone
            ),
            "ratio at most 1.1",
        );
    }
}
