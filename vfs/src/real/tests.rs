use super::*;
use crate::durable;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn positioned_writes_are_read_back_and_holes_are_zero() {
    let dir = scratch();
    let file = RealFs
        .open(&dir.path().join("f"), OpenOptions::create_new())
        .unwrap();
    file.write_all_at(b"tail", 10).unwrap();
    file.write_all_at(b"head", 0).unwrap();
    let mut all = [9; 14];
    file.read_exact_at(&mut all, 0).unwrap();
    assert_eq!(&all, b"head\0\0\0\0\0\0tail");
    assert_eq!(file.read_at(&mut all, 14).unwrap(), 0);
    let past = file.read_exact_at(&mut all, 1).unwrap_err();
    assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn allocate_extends_with_zeros_and_never_shrinks() {
    let dir = scratch();
    let file = RealFs
        .open(&dir.path().join("f"), OpenOptions::create_new())
        .unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.allocate(8192).unwrap();
    assert_eq!(file.len().unwrap(), 8192);
    file.allocate(100).unwrap();
    assert_eq!(file.len().unwrap(), 8192);
    file.set_len(1).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(RealFs.read(&dir.path().join("f")).unwrap(), b"x\0\0\0");
}

#[test]
fn a_second_handle_cannot_take_a_held_lock_until_the_first_is_gone() {
    let dir = scratch();
    let path = dir.path().join("f");
    let first = RealFs.open(&path, OpenOptions::create()).unwrap();
    let second = RealFs.open(&path, OpenOptions::read_write()).unwrap();
    for kind in [LockKind::OpenFileDescription, LockKind::Flock] {
        first.try_lock(kind).unwrap();
        first.try_lock(kind).unwrap();
        let refused = second.try_lock(kind).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock, "{kind:?}");
    }
    // Closing an unrelated descriptor of the same file must not drop an OFD lock.
    drop(RealFs.open(&path, OpenOptions::read_write()).unwrap());
    assert!(second.try_lock(LockKind::OpenFileDescription).is_err());
    drop(first);
    second.try_lock(LockKind::OpenFileDescription).unwrap();
    second.try_lock(LockKind::Flock).unwrap();
}

#[test]
fn create_new_refuses_an_existing_name_and_truncate_empties_it() {
    let dir = scratch();
    let path = dir.path().join("f");
    RealFs
        .open(&path, OpenOptions::create_new())
        .unwrap()
        .write_all_at(b"abc", 0)
        .unwrap();
    let again = RealFs.open(&path, OpenOptions::create_new()).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    RealFs.open(&path, OpenOptions::create_truncate()).unwrap();
    assert_eq!(RealFs.metadata(&path).unwrap().len_bytes, 0);
}

#[test]
fn names_are_listed_in_byte_order_and_carry_their_mode() {
    let dir = scratch();
    let sub = dir.path().join("a/b");
    RealFs.create_dir_all(&sub, 0o700).unwrap();
    assert_eq!(RealFs.metadata(&sub).unwrap().mode, 0o700);
    for name in ["b", "a", "C"] {
        RealFs
            .open(&sub.join(name), OpenOptions::create_new())
            .unwrap();
    }
    assert_eq!(RealFs.read_dir(&sub).unwrap(), ["C", "a", "b"]);
    RealFs.rename(&sub.join("a"), &sub.join("z")).unwrap();
    RealFs.remove_file(&sub.join("b")).unwrap();
    RealFs.sync_dir(&sub).unwrap();
    assert_eq!(RealFs.read_dir(&sub).unwrap(), ["C", "z"]);
    assert!(!RealFs.exists(&sub.join("a")).unwrap());
    RealFs.remove_dir_all(&dir.path().join("a")).unwrap();
    assert!(!RealFs.exists(&sub).unwrap());
}

#[test]
fn a_durable_write_replaces_the_file_and_leaves_no_temporary() {
    let dir = scratch();
    let path = dir.path().join("state");
    for text in [&b"first"[..], b"second, longer", b"3"] {
        durable::write_file(&RealFs, &path, text, 0o640).unwrap();
        assert_eq!(RealFs.read(&path).unwrap(), text);
    }
    assert_eq!(RealFs.read_dir(dir.path()).unwrap(), ["state"]);
    assert_eq!(RealFs.metadata(&path).unwrap().mode, 0o640);
}
