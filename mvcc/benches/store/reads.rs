//! Reads with and without a writer beside them.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use varve_mvcc::{RangeOptions, Store};

use crate::bed::{cpu_per_op, filled, pod, put, ratio, scattered, settle, thread_faults};
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

/// What reads took, each.
#[derive(Clone, Copy)]
struct Took {
    /// Processor time, in nanoseconds.
    nanos: f64,
    /// Pages of memory that were touched for the first time: of a new map of the file, most of all.
    faults: f64,
}

fn measure(store: &Store, case: &Case, old: i64) -> Took {
    let mut kvs = 0;
    let faults = thread_faults();
    let nanos = cpu_per_op(case.ops, |n| {
        let found = store.read().range(&options(case, n, old)).expect("kept");
        kvs += found.kvs.len();
        black_box(found);
    });
    let faults = ratio(thread_faults() - faults, case.ops);
    let expected = case.ops * u64::try_from(case.limit.max(1)).expect("positive");
    assert_eq!(kvs as u64, expected, "{}", case.name);
    Took { nanos, faults }
}

/// What a writer did while others read.
#[derive(Clone, Copy)]
struct Wrote {
    /// Puts a second.
    rate: f64,
    /// Commits of its store.
    commits: u64,
    /// Rows of each: what lay in memory before it, in layers that a reader looks through.
    rows: f64,
}

/// Measures while another thread puts into `written`: `rate` times a second, or as fast as it can.
fn beside_a_writer(written: &Store, rate: Option<u64>, f: impl FnOnce() -> Took) -> (Took, Wrote) {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let writer = || {
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
    };
    std::thread::scope(|scope| {
        let before = written.backend().commit_stats();
        let writer = scope.spawn(writer);
        let took = f();
        let seconds = start.elapsed().as_secs_f64();
        let after = written.backend().commit_stats();
        stop.store(true, Ordering::Relaxed);
        let puts: u64 = writer.join().expect("the writer only puts");
        assert!(puts > 0);
        settle(written);
        let commits = after.commits - before.commits;
        let wrote = Wrote {
            rate: ratio(puts, 1) / seconds,
            commits,
            rows: ratio(after.ops - before.ops, commits.max(1)),
        };
        (took, wrote)
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
        let mut all_alone = Vec::new();
        let mut rounds = writers.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for ((written, rate), rounds) in writers.iter().zip(&mut rounds) {
                let (beside, wrote) =
                    beside_a_writer(written, *rate, || measure(&store, case, old));
                let after = measure(&store, case, old);
                let nanos = f64::midpoint(alone.nanos, after.nanos);
                all_alone.push(Took { nanos, ..after });
                rounds.push((beside.nanos / nanos, beside, wrote));
                alone = after;
            }
        }
        let [other, own, slow, fast] = &rounds;
        let times = |rounds: &[(f64, Took, Wrote)]| median(rounds.iter().map(|r| r.0));
        table.row(
            case.name,
            &format!(
                "{:.2} us; times that beside a closed loop {:.2} ({}; of another store {:.2}: own/other {:.2}), beside {} puts/s {:.2}, beside {} puts/s {:.2}",
                median(all_alone.iter().map(|t| t.nanos)) / 1000.0,
                times(own),
                closed_loop(own, &all_alone),
                times(other),
                times(own) / times(other),
                RATES[0],
                times(slow),
                RATES[1],
                times(fast),
            ),
            "at most 1.1 times",
        );
    }
}

/// What may explain the rounds beside a closed loop: smallest and largest, the writer and the page faults.
fn closed_loop(rounds: &[(f64, Took, Wrote)], alone: &[Took]) -> String {
    let each = |f: fn(&(f64, Took, Wrote)) -> f64| rounds.iter().map(f);
    format!(
        "{:.2} to {:.2}, {:.0} puts/s, {:.0} commits of {:.0} rows, {:.4} page faults a read, {:.4} alone",
        each(|r| r.0).fold(f64::INFINITY, f64::min),
        each(|r| r.0).fold(0.0, f64::max),
        median(each(|r| r.2.rate)),
        median(each(|r| ratio(r.2.commits, 1))),
        median(each(|r| r.2.rows)),
        mean(each(|r| r.1.faults)),
        mean(alone.iter().map(|t| t.faults)),
    )
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let len = ratio(values.len() as u64, 1);
    values.sum::<f64>() / len
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
