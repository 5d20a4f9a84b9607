//! Segments so long that they are read ahead, in blocks that records do not respect.
use varve_proto::raftpb::Entry;
use varve_proto::walpb::Snapshot;
use varve_vfs::{Fs as _, OpenOptions, SimFs};
use varve_wal::{Error, RecordKind, SegmentName, Wal, WalOptions};

use crate::support::{dir, entry};

/// Sizes of entries: many to a block, about the overlap of two blocks, above it, more than a block.
const SIZES: [usize; 8] = [100, 20_000, 15_000, 300, 400_000, 17_000, 64, 3_000_000];

/// A segment of about 14 MB.
fn long_log(sim: &SimFs) -> Vec<Entry> {
    let options = WalOptions {
        segment_size_bytes: 32 << 20,
        inline_pipeline: true,
        ..WalOptions::default()
    };
    let mut log = Wal::create(&sim.shared(), dir(), b"m", options).unwrap();
    let sizes = SIZES.iter().cycle().take(4 * SIZES.len());
    // Small ones around the large, so that these begin at all kinds of places.
    let sizes = sizes.flat_map(|size| std::iter::repeat_n(900, 40).chain([*size]));
    let entries: Vec<_> = (1..)
        .zip(sizes)
        .map(|(at, size)| entry(1, at, size))
        .collect();
    log.save(None, &entries, true).unwrap();
    assert!(log.segment_bytes() > 14_000_000, "{}", log.segment_bytes());
    log.close().unwrap();
    entries
}

#[test]
fn a_long_segment_replays_to_what_was_saved() {
    let sim = SimFs::new();
    let entries = long_log(&sim);
    let whole = Snapshot::default();
    let read = Wal::open_read_only(&sim.shared(), dir(), &whole).unwrap();
    assert!(read.read_all().unwrap().entries == entries);
    // Twice, since blocks that nobody kept are filled again.
    for _ in 0..2 {
        let records = Wal::open_all_read_only(&sim.shared(), dir()).unwrap();
        let records = records.records().unwrap().map(|record| record.unwrap());
        let found = records.filter(|record| record.kind == RecordKind::Entry);
        assert_eq!(found.count(), entries.len());
    }
    let kept = Wal::open(&sim.shared(), dir(), &whole, WalOptions::default()).unwrap();
    assert!(kept.read_all().unwrap().0.entries == entries);
}

#[test]
fn damage_far_into_a_long_segment_is_told_with_its_place() {
    let sim = SimFs::new();
    long_log(&sim);
    let records = Wal::open_all_read_only(&sim.shared(), dir()).unwrap();
    let records: Vec<_> = records.records().unwrap().map(|r| r.unwrap()).collect();
    let path = SegmentName::FIRST.path_in(dir());
    let file = sim.open(&path, OpenOptions::read_write()).unwrap();
    for record in records
        .iter()
        .filter(|r| r.kind == RecordKind::Entry)
        .step_by(97)
    {
        let middle = record.offset + record.frame_bytes / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle).unwrap();
        file.write_all_at(&[byte[0] ^ 8], middle).unwrap();
        match Wal::verify(&sim.shared(), dir(), &Snapshot::default()) {
            Err(Error::CrcMismatch { offset, .. }) => assert_eq!(offset, record.offset),
            other => panic!("{other:?}"),
        }
        file.write_all_at(&byte, middle).unwrap();
    }
    Wal::verify(&sim.shared(), dir(), &Snapshot::default()).unwrap();
}
