//! A synced batch beside `pwrite` and `fdatasync` of the same bytes.
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::log::{Log, scratch};
use super::quantile;

const BATCHES: [u64; 3] = [1, 16, 256];
const SEGMENT_BYTES: u64 = 64_000_000;
const ROUNDS: usize = 600;

/// What a segment is filled with zeros by, in bytes.
const PIECE: usize = 4 << 10;

/// A file prepared as a segment is, written without any format.
struct Raw {
    file: std::fs::File,
    offset: u64,
    _scratch: tempfile::TempDir,
}

impl Raw {
    fn new(prefill: bool) -> Self {
        let scratch = scratch();
        let path = scratch.path().join("raw");
        let file = std::fs::File::create_new(path).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SEGMENT_BYTES)
            .unwrap();
        if prefill {
            // In pieces, as the log fills a segment: larger ones make larger folios, which take a long batch
            // in fewer steps and charge a short one for all of a folio.
            for at in (0..SEGMENT_BYTES).step_by(PIECE) {
                file.write_all_at(&[0; PIECE], at).unwrap();
            }
        }
        file.sync_all().unwrap();
        Self {
            file,
            offset: 0,
            _scratch: scratch,
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.offset).unwrap();
        rustix::fs::fdatasync(&self.file).unwrap();
        self.offset += bytes.len() as u64;
    }
}

fn micros<T>(call: impl FnOnce() -> T) -> f64 {
    let began = Instant::now();
    std::hint::black_box(call());
    began.elapsed().as_secs_f64() * 1e6
}

pub(crate) fn run(out: &mut impl Write) {
    writeln!(
        out,
        "## a synced batch of entries of 256 bytes, microseconds, median (10 %)"
    )
    .unwrap();
    writeln!(out, "| entries | bytes | space | log | raw | raw / log |").unwrap();
    writeln!(out, "|---|---|---|---|---|---|").unwrap();
    for entries in BATCHES {
        for prefill in [false, true] {
            let mut log = Log::in_a_prepared_segment(entries, prefill);
            let mut raw = Raw::new(prefill);
            let bytes = usize::try_from(log.append(true).written_bytes).unwrap();
            let payload = vec![b'v'; bytes];
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            // Both stay within their segment: 256 entries are 75 kB, 600 rounds 45 MB.
            for round in 0..ROUNDS {
                if round % 2 == 0 {
                    ours.push(micros(|| log.append(true)));
                    theirs.push(micros(|| raw.append(&payload)));
                } else {
                    theirs.push(micros(|| raw.append(&payload)));
                    ours.push(micros(|| log.append(true)));
                }
            }
            ours.sort_by(f64::total_cmp);
            theirs.sort_by(f64::total_cmp);
            let (a, b) = (quantile(&ours, 0.5), quantile(&theirs, 0.5));
            writeln!(
                out,
                "| {entries} | {bytes} | {} | {a:.0} ({:.0}) | {b:.0} ({:.0}) | {:.2} |",
                if prefill { "zero-filled" } else { "reserved" },
                quantile(&ours, 0.1),
                quantile(&theirs, 0.1),
                b / a
            )
            .unwrap();
        }
    }
}
