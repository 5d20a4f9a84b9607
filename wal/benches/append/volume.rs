//! Appending without a sync, and bytes written per byte of record.
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use prost::Message as _;
use varve_proto::raftpb::Entry;
use varve_proto::walpb::{self, Snapshot};
use varve_vfs::SimFs;
use varve_wal::{Wal, WalOptions};

use super::log::{ENTRY_BYTES, Log};
use super::quantile;

const BATCHES: [u64; 3] = [1, 16, 256];
/// Stays within a segment.
const BYTES: u64 = 48 << 20;

pub(crate) fn run(out: &mut impl Write) {
    writeln!(
        out,
        "## appended without a sync, MB of entry data per second, median of 5"
    )
    .unwrap();
    for entries in BATCHES {
        let mut rates = Vec::new();
        for _ in 0..5 {
            let mut log = Log::in_a_prepared_segment(entries, false);
            let batches = u32::try_from(BYTES / (entries * 300)).unwrap();
            let began = Instant::now();
            for _ in 0..batches {
                assert!(!log.append(false).cut, "it stays within a segment");
            }
            let batch_bytes = u32::try_from(entries).unwrap() * u32::try_from(ENTRY_BYTES).unwrap();
            let bytes = f64::from(batches) * f64::from(batch_bytes);
            rates.push(bytes / began.elapsed().as_secs_f64() / 1e6);
        }
        rates.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{entries:>4} entries a batch: {:.0}",
            quantile(&rates, 0.5)
        )
        .unwrap();
    }
    writeln!(
        out,
        "## bytes written per byte of record, counted by the file system"
    )
    .unwrap();
    for entries in BATCHES {
        let (append, prepare) = amplification(entries);
        writeln!(
            out,
            "{entries:>4} entries a batch: {append:.3} by appending, {prepare:.3} ahead"
        )
        .unwrap();
    }
}

/// What the log wrote, and what zero-filling wrote, over what the records hold.
fn amplification(entries: u64) -> (f64, f64) {
    let written = |prefill| {
        let sim = SimFs::new();
        let options = WalOptions {
            segment_size_bytes: 4_000_000,
            prefill,
            inline_pipeline: true,
            ..WalOptions::default()
        };
        let dir = Path::new("/wal");
        let mut log = Wal::create(&sim.shared(), dir, b"bench", options).unwrap();
        let mut index = 0;
        let mut cuts = 0;
        while cuts < 3 {
            let batch: Vec<_> = (index + 1..=index + entries)
                .map(|index| Entry {
                    r#type: 0,
                    term: 1,
                    index,
                    data: Some(vec![b'v'; ENTRY_BYTES].into()),
                })
                .collect();
            index += entries;
            let stats = log.save(None, &batch, true).unwrap();
            cuts += u32::from(stats.cut);
        }
        log.close().unwrap();
        let records = Wal::open_read_only(&sim.shared(), dir, &Snapshot::default()).unwrap();
        let records = records.records().unwrap();
        let record_bytes: u64 = records
            .map(|record| {
                let record = record.unwrap();
                let kind = record.kind.number().into();
                let (crc, data) = (record.crc, Some(record.data));
                walpb::Record {
                    r#type: kind,
                    crc,
                    data,
                }
                .encoded_len() as u64
            })
            .sum();
        (sim.counts().written_bytes, record_bytes)
    };
    let (plain, record_bytes) = written(false);
    let (filled, _) = written(true);
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let of = |bytes: u64| bytes as f64 / record_bytes as f64;
    (of(plain), of(filled - plain))
}
