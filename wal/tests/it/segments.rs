//! From segment to segment: cut, locks, release, purge.
use varve_proto::walpb::Snapshot;
use varve_vfs::{CrashRule, Fs, OpenOptions, SimFs};
use varve_wal::{Error, SegmentName, Wal, WalOptions, purge};

use crate::support::{create, dir, entry, open, options, segments, snapshot, state, zero};

/// A log of about `count` segments: entries of 1 kB in segments of 4 kB.
fn filled(sim: &SimFs, entries: u64) -> varve_wal::Appender {
    let mut log = create(sim);
    for index in 1..=entries {
        log.save(Some(&state(1, index)), &[entry(1, index, 1000)], true)
            .unwrap();
    }
    log
}

fn names(sim: &SimFs) -> Vec<SegmentName> {
    segments(sim)
        .iter()
        .map(|(name, _)| SegmentName::parse(name).unwrap())
        .collect()
}

#[test]
fn a_full_segment_ends_with_its_log_and_the_next_is_named_after_the_next_index() {
    let sim = SimFs::new();
    let log = filled(&sim, 10);
    let expected: Vec<_> = [(0, 0), (1, 5), (2, 9)]
        .map(|(sequence, index)| SegmentName { sequence, index })
        .into();
    assert_eq!(names(&sim), expected);
    let all = segments(&sim);
    assert!(all[0].1.len() > 4096 && all[0].1.ends_with(&[0; 0]));
    assert_eq!(all[2].1.len(), 4096, "the newest keeps its reserved space");
    drop(log);
    let records = Wal::open_read_only(&sim.shared(), dir(), &zero())
        .unwrap()
        .records()
        .unwrap();
    let heads: Vec<_> = records
        .map(|record| record.unwrap())
        .filter(|record| {
            record.offset < 60 && !record.segment.ends_with(names(&sim)[0].to_string())
        })
        .map(|record| (record.kind.number(), record.offset))
        .collect();
    // As etcd cuts: checksum, metadata, hard state.
    assert_eq!(heads[..3], [(4, 0), (1, 16), (3, 40)]);
}

#[test]
fn the_hard_state_read_at_open_goes_into_the_next_segment_as_well() {
    let sim = SimFs::new();
    filled(&sim, 2).close().unwrap();
    let (_, mut log) = open(&sim, &zero()).unwrap();
    let stats = log.save(None, &[entry(1, 3, 5000)], true).unwrap();
    assert!(stats.cut && stats.synced);
    log.save_snapshot(&snapshot(1, 3)).unwrap();
    log.close().unwrap();
    let (replay, _) = open(&sim, &snapshot(1, 3)).unwrap();
    assert_eq!(replay.hard_state, Some(state(1, 2)));
}

#[test]
fn a_newest_segment_that_lost_its_content_gets_its_head_anew() {
    // What a log that is never synced may be after a power cut: the name without the bytes. Without the
    // head, entries saved behind it would be refused by the next reader.
    let written = filled(&SimFs::new(), 10).segment_bytes();
    for left in [0, 16, 40, 64] {
        let sim = SimFs::new();
        filled(&sim, 10).close().unwrap();
        let newest = names(&sim).pop().unwrap();
        let path = newest.path_in(dir());
        let file = sim.open(&path, OpenOptions::read_write()).unwrap();
        file.set_len(left).unwrap();
        drop(file);
        let (replay, mut log) = open(&sim, &zero()).unwrap();
        assert_eq!(replay.entries.len(), 8, "{left}");
        assert!(log.segment_bytes() >= 40 && log.segment_bytes() < written);
        log.save(None, &[entry(2, 9, 10)], true).unwrap();
        for rule in CrashRule::ALL {
            let image = sim.crash_image(rule, 0);
            let (replay, _) = open(&image, &zero()).unwrap();
            assert_eq!(replay.entries.len(), 9, "{left}");
            assert_eq!(replay.hard_state, Some(state(1, 8)));
        }
    }
}

#[test]
fn a_log_that_ends_before_its_metadata_is_refused_and_left_as_it_is() {
    for left in [0, 16] {
        let sim = SimFs::new();
        create(&sim).close().unwrap();
        let path = SegmentName::FIRST.path_in(dir());
        let file = sim.open(&path, OpenOptions::read_write()).unwrap();
        file.set_len(left).unwrap();
        drop(file);
        let refused = open(&sim, &zero()).unwrap_err();
        assert!(
            matches!(&refused, Error::Malformed { offset, .. } if *offset == left),
            "{refused}"
        );
        assert_eq!(sim.metadata(&path).unwrap().len_bytes, left);
    }
}

#[test]
fn every_segment_from_the_start_on_is_locked_until_released() {
    let sim = SimFs::new();
    let fs = sim.shared();
    let mut log = filled(&sim, 30);
    let all = names(&sim);
    assert!(all.len() > 5);
    let locked = Wal::open(&fs, dir(), &zero(), options()).unwrap_err();
    assert!(matches!(locked, Error::Locked { path } if path == all[0].path_in(dir())));
    let repair = Wal::repair(&fs, dir()).unwrap_err();
    assert!(
        matches!(repair, Error::Locked { .. }),
        "repair needs the newest segment"
    );
    Wal::open_read_only(&fs, dir(), &zero())
        .unwrap()
        .read_all()
        .unwrap();

    assert_eq!(
        purge(&fs, dir(), 2).unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
    // The segment that may hold the entry, and nothing before it, is still needed.
    let needed = all[3];
    log.release_to(needed.index).unwrap();
    let removed = purge(&fs, dir(), 2).unwrap();
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert_eq!(names(&sim)[0], all[2]);
    log.release_to(u64::MAX).unwrap();
    assert_eq!(purge(&fs, dir(), 0).unwrap().len(), all.len() - 3);
    assert_eq!(
        names(&sim),
        all[all.len() - 1..],
        "the newest is never released"
    );
}

#[test]
fn a_start_needs_an_unbroken_run_of_segments() {
    let sim = SimFs::new();
    let fs = sim.shared();
    let mut log = filled(&sim, 12);
    log.save_snapshot(&snapshot(1, 12)).unwrap();
    log.close().unwrap();
    let all = names(&sim);
    sim.remove_file(&all[1].path_in(dir())).unwrap();
    let gap = Wal::open(&fs, dir(), &zero(), options()).unwrap_err();
    assert!(matches!(gap, Error::NoSegment { index: 0, .. }));
    let snapshots = Wal::valid_snapshot_entries(&fs, dir()).unwrap();
    assert_eq!(
        snapshots.last(),
        Some(&snapshot(1, 12)),
        "what is after the gap still counts"
    );
    open(&sim, &snapshot(1, 12)).unwrap();
    sim.remove_file(&all[0].path_in(dir())).unwrap();
    let before = Wal::open_read_only(&fs, dir(), &zero()).unwrap_err();
    assert!(matches!(before, Error::NoSegment { .. }));
}

#[test]
fn segments_of_another_member_are_refused() {
    let (one, other) = (SimFs::new(), SimFs::new());
    filled(&one, 5).close().unwrap();
    let mut log = Wal::create(&other.shared(), dir(), b"somebody else", options()).unwrap();
    for index in 1..=5 {
        log.save(Some(&state(1, index)), &[entry(1, index, 1000)], true)
            .unwrap();
    }
    log.close().unwrap();
    let name = names(&other)[1];
    let theirs = other.read(&name.path_in(dir())).unwrap();
    let file = one
        .open(
            &names(&one)[1].path_in(dir()),
            OpenOptions::create_truncate(),
        )
        .unwrap();
    file.write_all_at(&theirs, 0).unwrap();
    drop(file);
    let refused = open(&one, &zero()).unwrap_err();
    // The chain of checksums notices before the metadata does.
    assert!(
        matches!(refused, Error::CrcMismatch { offset: 0, .. }),
        "{refused}"
    );
}

#[test]
fn a_purge_cut_short_by_a_crash_leaves_no_hole() {
    for k in 0.. {
        let sim = SimFs::new();
        let mut log = filled(&sim, 30);
        log.release_to(30).unwrap();
        sim.fail_at(sim.op_count() + k, varve_vfs::Fault::Crash);
        let outcome = purge(&sim.shared(), dir(), 2);
        for rule in CrashRule::ALL {
            for seed in 0..16 {
                let image = sim.crash_image(rule, seed);
                let left = names(&image);
                assert!(
                    left.windows(2)
                        .all(|pair| pair[0].sequence + 1 == pair[1].sequence)
                );
                Wal::valid_snapshot_entries(&image.shared(), dir()).unwrap();
            }
        }
        if outcome.is_ok() {
            break;
        }
    }
}

#[test]
fn a_leftover_of_the_pipeline_is_emptied_before_use() {
    let sim = SimFs::new();
    filled(&sim, 2).close().unwrap();
    for name in ["0.tmp", "1.tmp"] {
        let file = sim
            .open(&dir().join(name), OpenOptions::create_new())
            .unwrap();
        file.write_all_at(&[0xaa; 10_000], 0).unwrap();
    }
    let (_, mut log) = open(&sim, &zero()).unwrap();
    for index in 3..=11 {
        log.save(Some(&state(1, index)), &[entry(1, index, 1000)], true)
            .unwrap();
    }
    log.close().unwrap();
    assert_eq!(open(&sim, &zero()).unwrap().0.entries.len(), 11);
}

#[test]
fn a_prefilled_segment_is_zeros_all_through_and_synced_before_use() {
    let sim = SimFs::new();
    let prefilled = WalOptions {
        prefill: true,
        ..options()
    };
    let mut log = Wal::create(&sim.shared(), dir(), b"m", prefilled).unwrap();
    let before = sim.counts();
    log.save(Some(&state(1, 1)), &[entry(1, 1, 5000)], true)
        .unwrap();
    let written = sim.counts().written_bytes - before.written_bytes;
    assert!(written > 5000 + 4096, "{written}");
    let newest = segments(&sim).pop().unwrap().1;
    assert_eq!(newest.len(), 4096);
    assert!(newest[200..].iter().all(|b| *b == 0));
    log.close().unwrap();
    let start = Snapshot::default();
    assert_eq!(
        Wal::open_read_only(&sim.shared(), dir(), &start)
            .unwrap()
            .read_all()
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[test]
fn zeros_follow_the_log_and_an_idle_log_writes_none() {
    const MIB: u64 = 1 << 20;
    let sim = SimFs::new();
    let with_thread = WalOptions {
        segment_size_bytes: 8 * MIB,
        prefill: true,
        inline_pipeline: false,
        ..options()
    };
    let mut log = Wal::create(&sim.shared(), dir(), b"m", with_thread).unwrap();
    let mut appended = log.segment_bytes();
    let mut save = |log: &mut varve_wal::Appender, index: u64, bytes: usize| {
        let stats = log.save(None, &[entry(1, index, bytes)], true).unwrap();
        appended += stats.written_bytes;
        (stats.cut, appended)
    };
    let (_, appended_bytes) = save(&mut log, 1, 1000);
    assert_eq!(sim.counts().written_bytes, appended_bytes, "nothing is due");
    let (_, appended_bytes) = save(&mut log, 2, 2 << 20);
    // Two bytes for each one: four whole pieces, and no fifth. The thread writes them in its own time.
    let began = std::time::Instant::now();
    while sim.counts().written_bytes < appended_bytes + 4 * MIB {
        assert!(began.elapsed().as_secs() < 60, "the thread writes nothing");
        std::thread::yield_now();
    }
    assert_eq!(sim.counts().written_bytes, appended_bytes + 4 * MIB);
    // Needed long before it is full of zeros, twice: taken as it is.
    for index in 3..=4 {
        assert!(save(&mut log, index, 9 << 20).0);
        let newest = segments(&sim).pop().unwrap().1;
        assert_eq!(newest.len() as u64, 8 * MIB);
        assert!(newest[100..].iter().all(|byte| *byte == 0));
    }
    save(&mut log, 5, 10);
    log.close().unwrap();
    assert_eq!(open(&sim, &zero()).unwrap().0.entries.len(), 5);
}
