//! The log on the real file system, with its pipeline thread.
use varve_proto::raftpb::Entry;
use varve_vfs::RealFs;
use varve_wal::{Error, SegmentName, Wal, WalOptions, purge};

use crate::support::{METADATA, entry, snapshot, state, zero};

#[test]
fn a_log_with_its_own_thread_cuts_reopens_and_cleans_up() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("member/wal");
    let fs = RealFs::shared();
    for prefill in [false, true] {
        let options = WalOptions {
            segment_size_bytes: 100_000,
            prefill,
            ..WalOptions::default()
        };
        let mut log = if prefill {
            Wal::open(&fs, &dir, &zero(), options)
                .unwrap()
                .read_all()
                .unwrap()
                .1
        } else {
            Wal::create(&fs, &dir, METADATA, options).unwrap()
        };
        let first = log.last_index() + 1;
        let mut cuts = 0;
        for index in first..first + 60 {
            let stats = log
                .save(Some(&state(1, index)), &[entry(1, index, 10_000)], true)
                .unwrap();
            cuts += u64::from(stats.cut);
        }
        assert!(cuts >= 5, "{cuts}");
        let locked = Wal::open(&fs, &dir, &zero(), options).unwrap_err();
        assert!(matches!(locked, Error::Locked { .. }));
        let replay = Wal::open_read_only(&fs, &dir, &zero())
            .unwrap()
            .read_all()
            .unwrap();
        assert_eq!(replay.entries.len() as u64, log.last_index());
        log.close().unwrap();
        let names = fs.read_dir(&dir).unwrap();
        let only_segments = names.iter().all(|name| SegmentName::parse(name).is_some());
        assert!(only_segments, "the pipeline left something: {names:?}");
    }
    let (replay, mut log) = Wal::open(&fs, &dir, &zero(), WalOptions::default())
        .unwrap()
        .read_all()
        .unwrap();
    assert_eq!(replay.entries.len(), 120);
    log.save_snapshot(&snapshot(1, 120)).unwrap();
    log.release_to(120).unwrap();
    let removed = purge(&fs, &dir, 1).unwrap();
    assert!(removed.len() >= 10);
    drop(log);
    assert_eq!(
        Wal::verify(&fs, &dir, &snapshot(1, 120)).unwrap(),
        state(1, 120)
    );
}

#[test]
fn a_long_record_that_is_sound_is_read_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let (fs, dir) = (RealFs::shared(), scratch.path().join("wal"));
    let mut log = Wal::create(&fs, &dir, b"m", WalOptions::default()).unwrap();
    let entry = |index: u64, bytes: usize| Entry {
        r#type: 0,
        term: 1,
        index,
        data: Some((0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()),
    };
    // Around the sizes at which records are read in another way: blocks of 256 kB and 1 MiB, 4 MiB.
    let sizes = [
        1,
        300_000,
        1 << 20,
        20,
        (4 << 20) - 30,
        4 << 20,
        9_000_001,
        5,
    ];
    let entries: Vec<_> = (1..)
        .zip(sizes)
        .map(|(index, size)| entry(index, size))
        .collect();
    log.save(None, &entries, true).unwrap();
    let many: Vec<_> = (9..4009).map(|index| entry(index, 1000)).collect();
    log.save(None, &many, true).unwrap();
    log.close().unwrap();
    let opened = Wal::open(&fs, &dir, &zero(), WalOptions::default());
    let (replay, _) = opened.unwrap().read_all().unwrap();
    assert!(replay.entries == [entries, many].concat());
}
