//! What every engine of the comparison can do, and what its doing costs.
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

/// One measured piece of work. Revisions are numbered from 0 without gaps.
#[derive(Clone, Debug)]
pub enum Job {
    /// `commits` durable commits of `per_commit` new revisions each, from `from` on.
    Append {
        from: u64,
        commits: u64,
        per_commit: u64,
        value_len: usize,
    },
    /// One durable commit that deletes those revisions of `range` that are a multiple of `every` (`hit`)
    /// or those that are none.
    Delete {
        range: Range<u64>,
        every: u64,
        hit: bool,
    },
    /// `count` lookups at random among `below` revisions, each in a snapshot of its own or all in one.
    Get {
        seed: u64,
        count: u64,
        below: u64,
        own_snapshot: bool,
    },
    /// `count` scans of `len` revisions from random places on, in one snapshot.
    Scan {
        seed: u64,
        count: u64,
        len: u64,
        below: u64,
    },
}

/// What a job cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time of the whole process.
    pub cpu: Duration,
    /// Bytes the process gave the file system to write. Not `write_bytes`, which counts whole folios of
    /// the page cache for every page that is touched in them.
    pub written: u64,
    /// Sum over all values read (see [`consume`]): equal for all engines, or somebody did less.
    pub read: u64,
}

pub trait Store {
    fn append(&mut self, range: Range<u64>, values: &Values, len: usize) -> Result<()>;
    fn delete(&mut self, keys: &mut dyn Iterator<Item = u64>) -> Result<()>;
    /// Sum of the values under `keys`.
    fn get(&mut self, keys: &mut dyn Iterator<Item = u64>, own_snapshot: bool) -> Result<u64>;
    /// Sum of the values of `len` revisions from each of `starts` on.
    fn scan(&mut self, starts: &mut dyn Iterator<Item = u64>, len: u64) -> Result<u64>;

    /// Does a job and measures it; an engine in another process measures itself.
    fn run(&mut self, job: &Job, values: &Values) -> Result<Cost> {
        let (began, before) = (Instant::now(), usage());
        let read = work(self, job, values)?;
        let (wall, after) = (began.elapsed(), usage());
        Ok(Cost {
            wall,
            cpu: after.0.saturating_sub(before.0),
            written: after.1 - before.1,
            read,
        })
    }
}

fn work<S: Store + ?Sized>(store: &mut S, job: &Job, values: &Values) -> Result<u64> {
    match job {
        Job::Append {
            from,
            commits,
            per_commit,
            value_len,
        } => {
            for n in 0..*commits {
                let first = from + n * per_commit;
                store.append(first..first + per_commit, values, *value_len)?;
            }
            Ok(0)
        }
        Job::Delete { range, every, hit } => {
            let mut keys = range.clone().filter(|n| n.is_multiple_of(*every) == *hit);
            store.delete(&mut keys).map(|()| 0)
        }
        Job::Get {
            seed,
            count,
            below,
            own_snapshot,
        } => store.get(&mut numbers(*seed, *count, *below), *own_snapshot),
        Job::Scan {
            seed,
            count,
            len,
            below,
        } => store.scan(&mut numbers(*seed, *count, below - len), *len),
    }
}

/// CPU time and bytes written so far.
fn usage() -> (Duration, u64) {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(clock.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(clock.tv_nsec).unwrap_or(0);
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let written = io
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "))
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    (Duration::new(seconds, nanos), written)
}

/// The same sequence in `bbolt/main.go`.
pub fn numbers(seed: u64, count: u64, below: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    })
}

/// The key etcd stores a revision under: main revision, `_`, sub revision.
pub fn revision(main: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&main.to_be_bytes());
    key[8] = b'_';
    key
}

/// Reads a value as somebody who was asked for it would: every cache line of it. Returns a sum that
/// tells values apart. The same in `bbolt/main.go`.
pub fn consume(value: &[u8]) -> u64 {
    let lines = value.chunks(64).filter_map(|line| line.first());
    lines.fold(value.len() as u64, |sum, byte| sum + u64::from(*byte))
}

/// Values that do not compress, without computing one per write.
pub struct Values(bytes::Bytes);

impl Values {
    pub fn new() -> Self {
        let words = numbers(7, 1 << 15, 1 << 31);
        Self(words.flat_map(|n| (n as u32).to_le_bytes()).collect())
    }

    pub fn of(&self, main: u64, len: usize) -> bytes::Bytes {
        let at = (main as usize).wrapping_mul(61) % (self.0.len() - len);
        self.0.slice(at..at + len)
    }
}

/// Bytes a directory (or file) takes.
pub fn size_of(path: &Path) -> u64 {
    let Ok(meta) = std::fs::metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|e| size_of(&e.path())).sum()
}
