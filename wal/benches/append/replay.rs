//! A log of 64 MB in entries of 256 bytes, read as at a start, from warm caches.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{DynFs, RealFs};
use varve_wal::{Wal, WalOptions};

use super::log::{ENTRY_BYTES, scratch};

const ROUNDS: usize = 20;
const BATCH: u64 = 16;

/// A log of one segment.
fn fill(fs: &DynFs, dir: &Path) {
    let mut log = Wal::create(fs, dir, b"bench", WalOptions::default()).unwrap();
    let mut index = 0;
    while log.segment_bytes() < 63_900_000 {
        let batch: Vec<_> = (index + 1..=index + BATCH)
            .map(|index| Entry {
                r#type: 0,
                term: 1,
                index,
                data: Some(vec![b'v'; ENTRY_BYTES].into()),
            })
            .collect();
        let state = HardState {
            term: 1,
            vote: 1,
            commit: index,
        };
        index += BATCH;
        log.save(Some(&state), &batch, false).unwrap();
    }
    log.close().unwrap();
}

/// The best of several rounds, in bytes per second.
fn best<T>(bytes: u64, mut read: impl FnMut() -> T) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let got = read();
        least = least.min(began.elapsed().as_secs_f64());
        // Giving the memory back is not reading.
        drop(got);
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let bytes = bytes as f64;
    bytes / least
}

pub(crate) fn run(out: &mut impl Write) {
    let scratch = scratch();
    let kept = std::env::var_os("VARVE_BENCH_KEEP").map(PathBuf::from);
    let dir = kept.unwrap_or_else(|| scratch.path().join("wal"));
    let fs = RealFs::shared();
    if !Wal::exists(&fs, &dir).unwrap() {
        fill(&fs, &dir);
    }
    let start = Snapshot::default();
    let open = || Wal::open_read_only(&fs, &dir, &start).unwrap();
    let bytes: u64 = open()
        .records()
        .unwrap()
        .map(|record| record.unwrap().frame_bytes)
        .sum();
    let records = best(bytes, || {
        for record in open().records().unwrap() {
            drop(record.unwrap());
        }
    });
    let replay = best(bytes, || open().read_all().unwrap());
    let verify = best(bytes, || Wal::verify(&fs, &dir, &start).unwrap());
    writeln!(
        out,
        "## {bytes} bytes of log replayed, GB/s, best of {ROUNDS}"
    )
    .unwrap();
    for (what, rate) in [
        ("records", records),
        ("verify", verify),
        ("read_all", replay),
    ] {
        writeln!(out, "{what:>8}: {:.2}", rate / 1e9).unwrap();
    }
}
