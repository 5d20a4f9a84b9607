//! Damage that no crash explains is told, never cut off.
use varve_vfs::{Fs, OpenOptions, SimFs};
use varve_wal::{Error, Replay, Result, Wal};

use crate::support::{create, dir, entry, open, segments, snapshot, state, zero};

/// A small log with every kind of record, the newest segment ending in a big one.
///
/// No state has term 2: under a damaged type that would read as an entry, the empty change of members
/// with which raft leaves a joint configuration. It is the one flip nothing in the format can show.
fn sample() -> (SimFs, Replay) {
    let sim = SimFs::new();
    let mut log = create(&sim);
    let mut no_op = entry(1, 1, 0);
    no_op.data = None;
    log.save(Some(&state(1, 0)), &[no_op, entry(1, 2, 40)], true)
        .unwrap();
    log.save_snapshot(&snapshot(1, 2)).unwrap();
    log.save(
        Some(&state(3, 2)),
        &[entry(3, 3, 17), entry(3, 4, 1500)],
        true,
    )
    .unwrap();
    log.close().unwrap();
    let (replay, _) = open(&sim, &zero()).unwrap();
    (sim, replay)
}

/// The replay of the sample's bytes after `damage`.
fn replay_of(bytes: &[u8]) -> (SimFs, Result<Replay>) {
    let sim = SimFs::new();
    sim.create_dir_all(dir(), 0o700).unwrap();
    let path = dir().join("0000000000000000-0000000000000000.wal");
    let file = sim.open(&path, OpenOptions::create_new()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    drop(file);
    let replay = open(&sim, &zero()).map(|(replay, _)| replay);
    (sim, replay)
}

/// Bytes of the sample and the end of its log.
fn sample_bytes() -> (Vec<u8>, usize, Vec<std::ops::Range<usize>>, Replay) {
    let (sim, replay) = sample();
    let log = Wal::open_read_only(&sim.shared(), dir(), &zero()).unwrap();
    let frames: Vec<_> = log
        .records()
        .unwrap()
        .map(|record| {
            let record = record.unwrap();
            let at = usize::try_from(record.offset).unwrap();
            at..at + usize::try_from(record.frame_bytes).unwrap()
        })
        .collect();
    let end = frames.last().unwrap().end;
    let bytes = segments(&sim).pop().unwrap().1;
    (bytes, end, frames, replay)
}

fn is_prefix(short: &Replay, whole: &Replay) -> bool {
    whole.entries.starts_with(&short.entries) || whole.entries == short.entries
}

#[test]
fn no_flipped_bit_makes_a_different_log() {
    let (bytes, end, frames, whole) = sample_bytes();
    for at in 0..end {
        for mask in [1, 2, 4, 8, 16, 32, 64, 128, 0xff_u8] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            let frame = frames.iter().find(|frame| frame.contains(&at)).unwrap();
            let (_, outcome) = replay_of(&damaged);
            let context = format!(
                "byte {at} (+{} of its frame) ^ {mask:02x}",
                at - frame.start
            );
            match outcome {
                Ok(replay) if replay == whole => {
                    // What no reading depends on: padding, and the crc's varint past 32 bits.
                }
                Ok(replay) => {
                    // A length whose only set bit was flipped says that the log ends here.
                    let field = &damaged[frame.start..frame.start + 8];
                    assert!(field == [0; 8] && is_prefix(&replay, &whole), "{context}");
                }
                Err(Error::UnexpectedEof { offset, .. }) => {
                    // Taken for torn: nothing before it may be lost.
                    assert_eq!(offset, frame.start as u64, "{context}");
                }
                Err(e) => assert!(e.is_corruption(), "{context}: {e}"),
            }
        }
    }
}

#[test]
fn a_damaged_length_never_cuts_off_the_sound_records_after_it() {
    let (bytes, _, frames, _) = sample_bytes();
    for frame in &frames[..frames.len() - 1] {
        for at in frame.start..frame.start + 8 {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if damaged[frame.start..frame.start + 8] == [0; 8] {
                    continue;
                }
                let (sim, outcome) = replay_of(&damaged);
                let e = outcome.unwrap_err();
                assert!(
                    e.is_corruption() && !e.is_repairable(),
                    "byte {at} bit {bit}: {e}"
                );
                Wal::repair(&sim.shared(), dir()).unwrap_err();
                assert_eq!(
                    segments(&sim)[0].1,
                    damaged,
                    "a refused repair changes nothing"
                );
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_gives_a_prefix_at_once_or_after_a_repair() {
    let (bytes, end, frames, whole) = sample_bytes();
    for len in 0..end {
        let at_a_boundary = len == 0 || frames.iter().any(|frame| frame.end == len);
        let (sim, outcome) = replay_of(&bytes[..len]);
        let replay = match outcome {
            Ok(replay) => {
                assert!(at_a_boundary, "{len}");
                replay
            }
            Err(e) if at_a_boundary => {
                // Nobody's log: to continue it would be to begin one without metadata.
                assert!(len < frames[1].end && e.is_corruption(), "{len}: {e}");
                Replay::default()
            }
            Err(e) => {
                assert!(e.is_repairable(), "{len}: {e}");
                assert!(Wal::repair(&sim.shared(), dir()).unwrap());
                let again = open(&sim, &zero());
                assert!(again.is_ok() || len < frames[1].end, "{len}");
                again.map_or_else(|_| Replay::default(), |(replay, _)| replay)
            }
        };
        assert!(is_prefix(&replay, &whole), "{len}");
        let complete = frames.iter().filter(|frame| frame.end <= len).count();
        let log = Wal::open_read_only(&sim.shared(), dir(), &zero()).unwrap();
        assert_eq!(log.records().unwrap().count(), complete, "{len}");
    }
}

#[test]
fn a_lost_sector_of_the_last_record_is_torn_and_of_an_earlier_one_is_damage() {
    let (bytes, end, frames, whole) = sample_bytes();
    let big = frames[frames.len() - 2].clone();
    let sector = big.end / 512 * 512 - 512;
    assert!(sector > big.start + 8 && bytes.len() > end);
    // The big entry is followed by the hard state of its batch; both were on their way together.
    let mut damaged = bytes.clone();
    damaged[sector..sector + 512].fill(0);
    let (sim, outcome) = replay_of(&damaged);
    assert!(outcome.unwrap_err().is_repairable());
    assert!(Wal::repair(&sim.shared(), dir()).unwrap());
    let (replay, _) = open(&sim, &zero()).unwrap();
    assert_eq!(replay.entries, whole.entries[..3]);

    let mut damaged = bytes;
    damaged[sector..sector + 511].fill(0);
    let (_, outcome) = replay_of(&damaged);
    assert!(
        matches!(outcome, Err(Error::CrcMismatch { offset, .. }) if offset == big.start as u64)
    );
}

#[test]
fn damage_in_a_segment_that_is_not_the_newest_is_never_repairable() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    for index in 1..=6 {
        log.save(Some(&state(1, index)), &[entry(1, index, 1000)], true)
            .unwrap();
    }
    log.close().unwrap();
    let (name, bytes) = segments(&sim).remove(0);
    let file = sim
        .open(&dir().join(name), OpenOptions::read_write())
        .unwrap();
    for cut in [bytes.len() - 1, bytes.len() - 100, bytes.len() - 2000] {
        file.set_len(cut as u64).unwrap();
        let e = open(&sim, &zero()).unwrap_err();
        assert!(e.is_corruption() && !e.is_repairable(), "{cut}: {e}");
        assert!(
            !Wal::repair(&sim.shared(), dir()).unwrap(),
            "the newest segment is sound"
        );
    }
}

#[test]
fn unknown_records_gaps_and_foreign_data_are_told_with_their_place() {
    let (bytes, end, _, _) = sample_bytes();
    let (sim, _) = replay_of(&bytes);
    let (_, mut log) = open(&sim, &zero()).unwrap();
    log.save(None, &[entry(3, 9, 10)], true).unwrap();
    log.close().unwrap();
    let gap = open(&sim, &zero()).unwrap_err();
    assert!(
        matches!(gap, Error::IndexGap { expected: 5, found: 9, offset, .. } if offset == end as u64)
    );

    let mut damaged = bytes;
    let record = end - 24;
    let unknown = (record..end)
        .find(|at| damaged[*at..].starts_with(&[0x08, 3, 0x10]))
        .unwrap();
    damaged[unknown + 1] = 77;
    let (_, outcome) = replay_of(&damaged);
    assert!(matches!(
        outcome,
        Err(Error::UnknownRecord { found: 77, .. })
    ));
}
