use super::*;
use crate::fs::LockKind;

fn path(name: &str) -> &Path {
    Path::new(name)
}

fn put(fs: &SimFs, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = fs.open(path(name), OpenOptions::create()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// All images of `fs` under a rule that 64 seeds find.
fn images(fs: &SimFs, rule: CrashRule) -> impl Iterator<Item = SimFs> {
    (0..64).map(move |seed| fs.crash_image(rule, seed))
}

fn read(fs: &SimFs, name: &str) -> Option<Vec<u8>> {
    fs.exists(path(name))
        .unwrap()
        .then(|| fs.read(path(name)).unwrap())
}

#[test]
fn unsynced_bytes_are_lost_and_synced_ones_are_in_every_image() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"kept");
    file.sync_data().unwrap();
    fs.sync_dir(path("/")).unwrap();
    file.write_all_at(b"lost", 4).unwrap();
    assert_eq!(read(&fs, "/a").unwrap(), b"keptlost");
    let lost = fs.crash_image(CrashRule::LoseUnsynced, 0);
    assert_eq!(read(&lost, "/a").unwrap(), b"kept");
    let all = fs.crash_image(CrashRule::KeepAll, 0);
    assert_eq!(read(&all, "/a").unwrap(), b"keptlost");
    for rule in CrashRule::ALL {
        for image in images(&fs, rule) {
            assert!(read(&image, "/a").unwrap().starts_with(b"kept"), "{rule:?}");
        }
    }
}

#[test]
fn a_new_name_is_lost_until_its_directory_was_synced_even_when_the_data_was() {
    let fs = SimFs::new();
    put(&fs, "/a", b"x").sync_all().unwrap();
    let gone = |rule| images(&fs, rule).any(|i| read(&i, "/a").is_none());
    assert!(gone(CrashRule::LoseUnsynced) && gone(CrashRule::Subset) && gone(CrashRule::Torn));
    assert!(!gone(CrashRule::KeepAll));
    fs.sync_dir(path("/")).unwrap();
    for rule in CrashRule::ALL {
        assert!(images(&fs, rule).all(|i| read(&i, "/a").unwrap() == b"x"));
    }
}

#[test]
fn a_rename_shows_one_name_or_the_other_in_every_image() {
    let fs = SimFs::new();
    put(&fs, "/old", b"new bytes").sync_all().unwrap();
    put(&fs, "/name", b"old bytes").sync_all().unwrap();
    fs.sync_dir(path("/")).unwrap();
    fs.rename(path("/old"), path("/name")).unwrap();
    let mut seen = [false; 2];
    for image in images(&fs, CrashRule::Subset) {
        let renamed = read(&image, "/old").is_none();
        let expected: &[u8] = if renamed { b"new bytes" } else { b"old bytes" };
        assert_eq!(read(&image, "/name").unwrap(), expected);
        seen[usize::from(renamed)] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn syncing_the_target_of_a_move_makes_the_source_durable_too() {
    let fs = SimFs::new();
    fs.create_dir_all(path("/a"), 0o700).unwrap();
    fs.create_dir_all(path("/b"), 0o700).unwrap();
    fs.sync_dir(path("/")).unwrap();
    put(&fs, "/a/f", b"x").sync_all().unwrap();
    fs.rename(path("/a/f"), path("/b/f")).unwrap();
    fs.sync_dir(path("/b")).unwrap();
    for rule in CrashRule::ALL {
        for image in images(&fs, rule) {
            assert_eq!(read(&image, "/a/f"), None);
            assert_eq!(read(&image, "/b/f").unwrap(), b"x");
        }
    }
}

/// A short write that is carried on makes two writes to one sector; a log could not tell the hole that is
/// left by the second without the first.
#[test]
fn a_sector_never_holds_a_later_write_without_an_earlier_one() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"aa");
    fs.sync_dir(path("/")).unwrap();
    file.write_all_at(b"bb", 2).unwrap();
    let mut seen = [false; 3];
    for image in images(&fs, CrashRule::Subset) {
        let mut bytes = read(&image, "/a").unwrap();
        bytes.resize(4, 0);
        let kept = [&[0; 4], b"aa\0\0", b"aabb"];
        let which = kept.iter().position(|k| **k == bytes[..]);
        seen[which.unwrap()] = true;
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn torn_and_subset_images_split_a_write_at_sectors_only() {
    let fs = SimFs::new();
    let file = fs.open(path("/a"), OpenOptions::create()).unwrap();
    file.allocate(4096).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(path("/")).unwrap();
    file.write_all_at(&[7; 2000], 100).unwrap();
    for rule in [CrashRule::Subset, CrashRule::Torn] {
        let mut partial = 0;
        for image in images(&fs, rule) {
            let bytes = read(&image, "/a").unwrap();
            assert_eq!(bytes.len(), 4096);
            let written = &bytes[100..2100];
            for sector in [&written[..412], &written[412..924], &written[1436..1948]] {
                assert!(sector.iter().all(|b| *b == sector[0]), "{rule:?}");
            }
            partial += usize::from(written.contains(&7) && written.contains(&0));
        }
        assert!(partial > 0, "{rule:?} never tore the write");
    }
}

#[test]
fn the_same_seed_gives_the_same_image_and_another_seed_another() {
    let fs = SimFs::new();
    put(&fs, "/a", &[1; 8192]);
    fs.sync_dir(path("/")).unwrap();
    let draw = |seed| read(&fs.crash_image(CrashRule::Subset, seed), "/a").unwrap();
    assert_eq!(draw(5), draw(5));
    assert!((0..16).any(|seed| draw(seed) != draw(5)));
}

#[test]
fn a_failed_sync_loses_its_writes_even_when_a_later_sync_works() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"first");
    fs.sync_dir(path("/")).unwrap();
    fs.fail_at(fs.op_count(), Fault::Eio);
    assert!(file.sync_data().is_err());
    file.write_all_at(b"second", 5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        read(&fs, "/a").unwrap(),
        b"firstsecond",
        "the page cache still has both"
    );
    let image = fs.crash_image(CrashRule::LoseUnsynced, 0);
    assert_eq!(read(&image, "/a").unwrap(), b"\0\0\0\0\0second");
}

#[test]
fn after_a_crash_nothing_works_and_the_image_does() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"x");
    fs.sync_dir(path("/")).unwrap();
    fs.fail_at(fs.op_count() + 1, Fault::Crash);
    file.write_all_at(b"y", 1).unwrap();
    assert!(file.sync_data().is_err());
    assert!(fs.is_crashed());
    assert!(file.write_at(b"z", 2).is_err());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(fs.read_dir(path("/")).is_err());
    let image = fs.crash_image(CrashRule::KeepAll, 0);
    assert_eq!(read(&image, "/a").unwrap(), b"xy");
    fs.heal();
    file.sync_data().unwrap();
}

#[test]
fn the_planned_operation_and_no_other_fails() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"");
    let first = fs.op_count();
    fs.fail_at(first + 1, Fault::Enospc);
    fs.fail_at(first + 2, Fault::ShortWrite);
    assert_eq!(file.write_at(b"1234", 0).unwrap(), 4);
    let full = file.write_at(b"5678", 4).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(b"5678", 4).unwrap(), 2);
    assert_eq!(file.write_at(b"78", 6).unwrap(), 2);
    assert_eq!(read(&fs, "/a").unwrap(), b"12345678");
    assert_eq!(fs.op_count(), first + 4);
    assert_eq!(fs.counts().written_bytes, 8);
}

#[test]
fn a_write_cut_short_by_pages_ends_at_a_page_of_the_file() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"");
    let cut = |len: usize, offset: u64| {
        fs.fail_at(fs.op_count(), Fault::ShortWriteOfPages);
        file.write_at(&vec![1; len], offset).unwrap()
    };
    // Without a boundary in its second half: whole.
    assert_eq!([cut(10, 0), cut(4096, 0), cut(96, 4000)], [10, 4096, 96]);
    assert_eq!(cut(200, 4000), 200);
    assert_eq!(cut(8192, 0), 4096);
    assert_eq!(cut(10_000, 100), 8192 - 100);
}

#[test]
fn a_full_disk_refuses_growth_but_takes_writes_into_reserved_space() {
    let fs = SimFs::new();
    let file = fs.open(path("/a"), OpenOptions::create()).unwrap();
    file.allocate(8192).unwrap();
    fs.limit_space(Some(8192));
    file.write_all_at(&[1; 8192], 0).unwrap();
    let full = file.write_all_at(&[1; 1], 8192).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 8192, "a refused write leaves nothing");
    let full = file.allocate(8193).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    fs.limit_space(None);
    file.write_all_at(&[1; 1], 8192).unwrap();
}

#[test]
fn locks_exclude_other_handles_and_are_gone_in_an_image() {
    let fs = SimFs::new();
    let first = put(&fs, "/a", b"x");
    fs.sync_everything();
    let second = fs.open(path("/a"), OpenOptions::read_write()).unwrap();
    for kind in [LockKind::OpenFileDescription, LockKind::Flock] {
        first.try_lock(kind).unwrap();
        let refused = second.try_lock(kind).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
    let image = fs.crash_image(CrashRule::KeepAll, 0);
    let there = image.open(path("/a"), OpenOptions::read_write()).unwrap();
    there.try_lock(LockKind::OpenFileDescription).unwrap();
    drop(first);
    second.try_lock(LockKind::Flock).unwrap();
}

#[test]
fn a_removed_file_lives_while_a_handle_is_open() {
    let fs = SimFs::new();
    let file = put(&fs, "/a", b"still here");
    fs.remove_file(path("/a")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    let mut buf = [0; 10];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"still here");
    drop(file);
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(fs.disk().files.len(), 0, "nothing leads to it any more");
}

#[test]
fn a_tree_goes_in_from_the_host_and_out_again() {
    let host = tempfile::tempdir().unwrap();
    let from = host.path().join("from");
    std::fs::create_dir_all(from.join("sub")).unwrap();
    std::fs::write(from.join("sub/f"), vec![3; 5000]).unwrap();
    let fs = SimFs::new();
    fs.load_dir(&from, path("/data")).unwrap();
    let image = fs.crash_image(CrashRule::LoseUnsynced, 0);
    image
        .dump_dir(path("/data"), &host.path().join("to"))
        .unwrap();
    assert_eq!(
        std::fs::read(host.path().join("to/sub/f")).unwrap(),
        vec![3; 5000]
    );
}

#[test]
fn operations_take_the_time_they_are_given_and_reads_take_none() {
    let fs = SimFs::new();
    let passed = Arc::new(Mutex::new(Vec::new()));
    let latency = Latency {
        write: Duration::from_micros(1),
        write_per_mib: Duration::from_millis(2),
        sync: Duration::from_millis(5),
        other: Duration::from_micros(7),
    };
    let told = Arc::clone(&passed);
    // The disk is not locked meanwhile: others look at it.
    let other = fs.clone();
    fs.slow_down(latency, move |duration| {
        other.op_count();
        told.lock().unwrap().push(duration);
    });
    let file = fs.open(path("/a"), OpenOptions::create()).unwrap();
    file.write_all_at(&vec![1; 3 << 20], 0).unwrap();
    file.sync_data().unwrap();
    file.set_len(5).unwrap();
    file.read_at(&mut [0; 4], 0).unwrap();
    fs.sync_dir(path("/")).unwrap();
    fs.speed_up();
    file.sync_all().unwrap();
    let micros: Vec<_> = passed
        .lock()
        .unwrap()
        .iter()
        .map(Duration::as_micros)
        .collect();
    assert_eq!(micros, [7, 6001, 5000, 7, 5000]);
}
