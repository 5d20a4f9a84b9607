//! What appending costs: entries of 256 bytes in batches of 1, 64 and 512.
//!
//! `buffered` encodes a batch and hands it to the kernel; `synced` waits for the disk as well, over
//! space that is only reserved and over space that was written before. The log is kept under the
//! directory that `VARVE_BENCH_DIR` names (the temporary directory without it): give one on the disk
//! in question, since a sync of a file system in memory costs nothing.
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use varve_proto::raftpb::{Entry, HardState};
use varve_vfs::{DynFs, RealFs};
use varve_wal::{Appender, Wal, WalOptions, purge};

const ENTRY_BYTES: usize = 256;
const BATCHES: [u64; 3] = [1, 64, 512];

/// A log whose space does not grow with the number of batches.
struct Log {
    fs: DynFs,
    dir: PathBuf,
    appender: Appender,
    batch: Vec<Entry>,
    _scratch: tempfile::TempDir,
}

impl Log {
    fn new(entries: u64, prefill: bool) -> Self {
        let parent =
            std::env::var_os("VARVE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
        let scratch = tempfile::tempdir_in(parent).expect("a directory for the log");
        let dir = scratch.path().join("wal");
        let fs = RealFs::shared();
        let options = WalOptions {
            prefill,
            ..WalOptions::default()
        };
        let appender = Wal::create(&fs, &dir, b"bench", options).expect("a log");
        let data = vec![b'v'; ENTRY_BYTES];
        let entry = |index| Entry {
            r#type: 0,
            term: 1,
            index,
            data: Some(data.clone().into()),
        };
        let batch = (1..=entries).map(entry).collect();
        Self {
            fs,
            dir,
            appender,
            batch,
            _scratch: scratch,
        }
    }

    /// A log whose newest segment has been written all over with zeros.
    fn prefilled(entries: u64) -> Self {
        let mut log = Self::new(entries, true);
        let data = Some(vec![0; 64_000_000].into());
        let last = Entry {
            r#type: 0,
            term: 1,
            index: 1,
            data,
        };
        let stats = log.appender.save(None, &[last], true).expect("a cut");
        assert!(stats.cut, "the next segment is the prepared one");
        log
    }

    fn append(&mut self, must_sync: bool) {
        let count = self.batch.len() as u64;
        for entry in &mut self.batch {
            entry.index += count;
        }
        let last = self.batch.last().expect("a batch").index;
        let state = HardState {
            term: 1,
            vote: 1,
            commit: last - count,
        };
        let stats = self
            .appender
            .save(Some(&state), &self.batch, must_sync)
            .expect("a save");
        if stats.cut {
            self.appender.release_to(last).expect("a release");
            purge(&self.fs, &self.dir, 1).expect("a purge");
        }
    }
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(3));
    for entries in BATCHES {
        group.throughput(Throughput::Bytes(entries * ENTRY_BYTES as u64));
        let mut log = Log::new(entries, false);
        group.bench_function(BenchmarkId::new("buffered", entries), |b| {
            b.iter(|| log.append(false));
        });
        let mut log = Log::new(entries, false);
        group.bench_function(BenchmarkId::new("synced/reserved", entries), |b| {
            b.iter(|| log.append(true));
        });
        let mut log = Log::prefilled(entries);
        group.bench_function(BenchmarkId::new("synced/prefilled", entries), |b| {
            b.iter(|| log.append(true));
        });
    }
    group.finish();
}

/// A log of 64 MB in entries of 256 bytes, read as at a start.
fn replay(c: &mut Criterion) {
    let mut log = Log::new(512, false);
    while log.appender.segment_bytes() < 63_000_000 {
        log.append(false);
    }
    log.appender.sync().expect("a sync");
    let dir: &Path = &log.dir;
    let mut group = c.benchmark_group("replay");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(log.appender.segment_bytes()));
    let start = varve_proto::walpb::Snapshot {
        index: 512,
        term: 1,
        conf_state: None,
    };
    group.bench_function("records", |b| {
        b.iter_batched(
            || Wal::open_read_only(&log.fs, dir, &start).expect("a log"),
            |reader| {
                let records = reader.records().expect("records");
                records
                    .map(|record| record.expect("sound").frame_bytes)
                    .sum::<u64>()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, appends, replay);
criterion_main!(benches);
