//! Segment after segment with the pipeline thread at work: what zero-filling costs and what it buys.
use std::io::Write;
use std::time::Instant;

use varve_wal::WalOptions;

use super::log::Log;
use super::quantile;

const BATCHES: [u64; 3] = [1, 16, 256];
/// Two segments, the first of which is not zero-filled in either case, and is not measured. A single
/// entry a sync takes long to fill a segment, so its segments are smaller.
const SEGMENTS: u32 = 2;

pub(crate) fn run(out: &mut impl Write) {
    writeln!(out, "## synced batches, {SEGMENTS} segments, microseconds").unwrap();
    writeln!(
        out,
        "| entries | next segment | p50 | p90 | p99 | p99.9 | mean |"
    )
    .unwrap();
    writeln!(out, "|---|---|---|---|---|---|---|").unwrap();
    for entries in BATCHES {
        for prefill in [false, true, true, false] {
            let options = WalOptions {
                prefill,
                segment_size_bytes: if entries == 1 { 4_000_000 } else { 64_000_000 },
                ..WalOptions::default()
            };
            let mut log = Log::new(entries, options);
            // At the pace of the disk, so that the thread keeps up as it would.
            while !log.append(true).cut {}
            let mut times = Vec::new();
            let mut cuts = 0;
            while cuts < SEGMENTS {
                let began = Instant::now();
                let stats = log.append(true);
                times.push(began.elapsed().as_secs_f64() * 1e6);
                cuts += u32::from(stats.cut);
            }
            let count = u32::try_from(times.len()).unwrap();
            let mean = times.iter().sum::<f64>() / f64::from(count);
            times.sort_by(f64::total_cmp);
            let of = |part| quantile(&times, part);
            writeln!(
                out,
                "| {entries} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {mean:.0} |",
                if prefill { "zero-filled" } else { "reserved" },
                of(0.5),
                of(0.9),
                of(0.99),
                of(0.999)
            )
            .unwrap();
            out.flush().unwrap();
        }
    }
}
