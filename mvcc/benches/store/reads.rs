//! Reads with and without a writer beside them.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use varve_mvcc::{RangeOptions, Store};

use crate::bed::{cpu_per_op, filled, pod, put, scattered, settle};
use crate::table::Table;

const KEYS: u64 = 200_000;
const ROUNDS: usize = 7;

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

/// Measures while another thread puts into `written`: `rate` times a second, or as fast as it can.
fn beside_a_writer(written: &Store, rate: Option<u64>, f: impl FnOnce() -> f64) -> f64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let start = Instant::now();
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let due = rate.is_none_or(|rate| {
                    u128::from(n) * 1_000_000_000 < start.elapsed().as_nanos() * u128::from(rate)
                });
                if due {
                    put(written, pod(scattered(n) % KEYS), Bytes::from_static(b"w"));
                    n += 1;
                } else {
                    // Bursts of a few puts, as a server has them.
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            n
        });
        let result = f();
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().expect("the writer only puts") > 0);
        settle(written);
        result
    })
}

/// Two hundred thousand names with two versions, and the revision of the first ones.
fn bed() -> (Store, TempDir, i64) {
    let (store, dir, _) = filled(KEYS, 128);
    let old = store.revision();
    for n in 0..KEYS {
        put(&store, pod(n), Bytes::from_static(&[b'n'; 128]));
    }
    settle(&store);
    (store, dir, old)
}

/// Puts a second, when not as many as possible.
const RATES: [u64; 2] = [20_000, 100_000];

/// What a writer costs a reader of its store, as times of the same reads without one: a writer in a closed
/// loop; for comparison one of another store, which takes cache, memory bandwidth and the processor's clock
/// rate too; and writers at fixed rates.
///
/// A writer leaves a larger store behind, with more versions of each key. So each measurement has one
/// without a writer before and after, and its ratio is to the mean of the two; the table shows medians
/// over the rounds.
pub(crate) fn run(table: &mut Table) {
    let (store, _dir, old) = bed();
    let (other, _other_dir, _) = bed();
    let writers = [
        (&other, None),
        (&store, None),
        (&store, Some(RATES[0])),
        (&store, Some(RATES[1])),
    ];
    for case in &CASES {
        let mut alone = measure(&store, case, old);
        let mut times = Vec::new();
        let mut ratios = writers.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for ((written, rate), ratios) in writers.iter().zip(&mut ratios) {
                let beside = beside_a_writer(written, *rate, || measure(&store, case, old));
                let after = measure(&store, case, old);
                times.push(f64::midpoint(alone, after));
                ratios.push(beside / f64::midpoint(alone, after));
                alone = after;
            }
        }
        let [to_other, to_own, slow, fast] = ratios.map(|mut all| median(&mut all));
        table.row(
            case.name,
            &format!(
                "{:.2} us; times that beside a closed loop {to_own:.2} (of another store {to_other:.2}: own/other {:.2}), beside {} puts/s {slow:.2}, beside {} puts/s {fast:.2}",
                median(&mut times) / 1000.0,
                to_own / to_other,
                RATES[0],
                RATES[1],
            ),
            "at most 1.1 times",
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
