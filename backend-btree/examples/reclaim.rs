//! Space comes back by itself: fills a store, deletes nine tenths of it, goes on writing lightly, and
//! prints how the file shrinks and how long each write waited.
//!
//! `cargo run --release -p varve-backend-btree --example reclaim -- [MIB] [DIRECTORY] [VALUE_BYTES]`
//! (defaults: 1024 MiB, the current directory, 256; the file is removed again). The figures of `docs/PERFORMANCE.md` come
//! from here.
#![expect(clippy::print_stdout, reason = "a program that tells what it sees")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use varve_backend::{Backend, BackendOptions, Bucket, Direction, Engine, Error, KeyRange, Result};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::RealFs;

const KEY: Bucket = Bucket::new("key");
const USAGE: &str = "usage: reclaim [MIB] [DIRECTORY] [VALUE_BYTES, at least 8]";
/// Operations of one guard while filling and deleting, as a compaction takes them.
const CHUNK: u64 = 500;
/// Light traffic: a put every other millisecond or so.
const PAUSE: Duration = Duration::from_millis(2);
const AT_LEAST: Duration = Duration::from_secs(10);
const AT_MOST: Duration = Duration::from_mins(2);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mib: u64 = args
        .next()
        .map_or(Ok(1024), |text| text.parse())
        .map_err(|_| Error::invalid(USAGE))?;
    let dir = args.next().map_or_else(PathBuf::new, PathBuf::from);
    let value_len: usize = args
        .next()
        .map_or(Ok(256), |text| text.parse())
        .ok()
        .filter(|len| *len >= 8)
        .ok_or_else(|| Error::invalid(USAGE))?;
    let path = dir.join(format!("reclaim-{}.db", std::process::id()));
    let outcome = run((mib << 20) / value_len as u64, value_len, &path);
    std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
    outcome
}

fn run(pairs: u64, value_len: usize, path: &PathBuf) -> Result<()> {
    let engine = Arc::new(BtreeEngine::open(
        Arc::new(RealFs),
        path,
        BtreeOptions::default(),
    )?);
    let backend = Backend::open(Arc::clone(&engine) as _, BackendOptions::default())?;
    let begun = Instant::now();
    let mut next = 0;
    while next < pairs {
        let mut guard = backend.begin();
        for _ in 0..CHUNK {
            guard.put(KEY, revision(next), value(next, value_len));
            next += 1;
        }
        guard.end();
    }
    backend.force_commit()?;
    println!(
        "filled: {} pairs of {value_len} B in {:.1} s, file {} MiB",
        next,
        begun.elapsed().as_secs_f64(),
        mib(file_len(path)?)
    );

    let (mut deleting, mut resting) = (Waits::default(), Waits::default());
    let (filled, mut at) = (next, 0);
    while at < filled {
        let mut guard = backend.begin();
        let end = filled.min(at + CHUNK);
        (at..end)
            .filter(|n| n % 10 != 0)
            .for_each(|n| guard.delete(KEY, revision(n)));
        guard.end();
        at = end;
        let wait = Instant::now();
        put(&backend, next, value_len);
        deleting.add(wait.elapsed());
        next += 1;
        std::thread::sleep(PAUSE);
    }
    println!(
        "deleted nine of ten, file {} MiB; {deleting}",
        mib(file_len(path)?)
    );

    let begun = Instant::now();
    let mut last_line = begun;
    loop {
        let wait = Instant::now();
        put(&backend, next, value_len);
        resting.add(wait.elapsed());
        next += 1;
        std::thread::sleep(PAUSE);
        if last_line.elapsed() > Duration::from_secs(2) {
            last_line = Instant::now();
            let (file, live) = (file_len(path)?, live_bytes(&engine)?);
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let ratio = file as f64 / live as f64;
            println!(
                "  after {:5.1} s: file {} MiB, live {} MiB, {ratio:.2}",
                begun.elapsed().as_secs_f64(),
                mib(file),
                mib(live)
            );
            let done = ratio < 1.3 && begun.elapsed() > AT_LEAST;
            if done || begun.elapsed() > AT_MOST {
                break;
            }
        }
    }
    println!("light writes meanwhile: {resting}");
    let report = engine.check();
    println!(
        "check: {} keys, {} faults",
        report.keys,
        report.errors.len()
    );
    backend.close()
}

/// One put as a member applies it: what it waits for is what this measures.
fn put(backend: &Backend, n: u64, value_len: usize) {
    let mut guard = backend.begin();
    guard.put(KEY, revision(n), value(n, value_len));
    guard.end();
}

fn revision(n: u64) -> Bytes {
    let mut key = n.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend_from_slice(&0u64.to_be_bytes());
    Bytes::from(key)
}

fn value(n: u64, len: usize) -> Bytes {
    let mut value = vec![0x5a; len];
    value[..8].copy_from_slice(&n.to_be_bytes());
    Bytes::from(value)
}

fn file_len(path: &PathBuf) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io("stat", path, e))?;
    Ok(metadata.len())
}

/// Bytes of keys and values that live.
fn live_bytes(engine: &BtreeEngine) -> Result<u64> {
    let mut bytes = 0;
    let view = engine.snapshot()?;
    view.visit(KEY, &KeyRange::all(), Direction::Forward, &mut |k, v| {
        bytes += (k.len() + v.len()) as u64;
        true
    })?;
    Ok(bytes)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// How long writes waited.
#[derive(Default)]
struct Waits(Vec<Duration>);

impl Waits {
    fn add(&mut self, wait: Duration) {
        self.0.push(wait);
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        write!(f, "{} puts, wait in us:", sorted.len())?;
        for (name, per_10k) in [
            ("p50", 5000),
            ("p90", 9000),
            ("p99", 9900),
            ("p99.9", 9990),
            ("p99.99", 9999),
            ("max", 10_000),
        ] {
            let at = (sorted.len() * per_10k / 10_000).min(sorted.len().saturating_sub(1));
            if let Some(wait) = sorted.get(at) {
                write!(f, " {name} {}", wait.as_micros())?;
            }
        }
        let over = sorted
            .iter()
            .filter(|w| **w > Duration::from_millis(5))
            .count();
        write!(f, "; over 5 ms: {over}")
    }
}
