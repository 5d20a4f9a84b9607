use super::*;

#[test]
fn nothing_can_be_changed_through_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("file");
    std::fs::write(&path, b"content").unwrap();
    let fs = LookFs::shared();
    assert!(fs.create_dir_all(&scratch.path().join("d"), 0o700).is_err());
    assert!(fs.rename(&path, &scratch.path().join("e")).is_err());
    assert!(fs.remove_file(&path).is_err());
    assert!(fs.remove_dir_all(scratch.path()).is_err());
    assert!(fs.sync_dir(scratch.path()).is_err());
    assert!(
        fs.open(&scratch.path().join("new"), OpenOptions::create())
            .is_err()
    );
    let file = fs.open(&path, OpenOptions::create_truncate()).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.allocate(100).is_err());
    assert!(file.sync_data().is_err() && file.sync_all().is_err());
    assert_eq!(fs.read(&path).unwrap(), b"content");
    assert_eq!(fs.read_dir(scratch.path()).unwrap(), ["file"]);
}

#[test]
fn a_lock_is_neither_needed_nor_taken() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("file");
    let real = RealFs::shared();
    let locked = real.open(&path, OpenOptions::create()).unwrap();
    locked.try_lock(LockKind::Flock).unwrap();
    let look = LookFs::shared()
        .open(&path, OpenOptions::read_only())
        .unwrap();
    look.try_lock(LockKind::Flock).unwrap();
    drop(locked);
    let other = real.open(&path, OpenOptions::read_write()).unwrap();
    other.try_lock(LockKind::Flock).unwrap();
}

#[test]
fn segments_behind_a_gap_can_be_hidden() {
    let scratch = tempfile::tempdir().unwrap();
    let names = [
        "0000000000000001-0000000000000000.wal",
        "0000000000000003-0000000000000009.wal",
        "other.wal",
    ];
    for name in names {
        std::fs::write(scratch.path().join(name), b"").unwrap();
    }
    let shown = |fs: DynFs| fs.read_dir(scratch.path()).unwrap();
    assert_eq!(shown(LookFs::shared()), names);
    assert_eq!(
        shown(LookFs::without_segments_from(3)),
        [names[0], names[2]]
    );
}
