use std::sync::{Arc, Mutex};

use super::*;
use crate::real::RealFs;

/// Hooks that change nothing.
#[derive(Clone, Copy, Debug)]
struct Nothing;

impl FileHooks for Nothing {}

impl FsHooks for Nothing {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Hooked::new(fs.open(path, options)?, Self)))
    }
}

/// Notes every hooked operation and carries out none; files opened through it do the same.
#[derive(Clone, Debug, Default)]
struct Instead(Arc<Mutex<Vec<String>>>);

impl Instead {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

impl FsHooks for Instead {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        self.note("open");
        Ok(Box::new(Hooked::new(fs.open(path, options)?, self.clone())))
    }

    fn sync_dir(&self, _: &dyn Fs, _: &Path) -> io::Result<()> {
        self.note("sync_dir");
        Ok(())
    }
}

impl FileHooks for Instead {
    fn write_at(&self, _: &dyn File, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.note(format!("write {} at {offset}", buf.len()));
        // A short write: the rest comes as one of its own.
        Ok(buf.len().min(2))
    }

    fn set_len(&self, _: &dyn File, len_bytes: u64) -> io::Result<()> {
        self.note(format!("set_len {len_bytes}"));
        Ok(())
    }

    fn sync_data(&self, _: &dyn File) -> io::Result<()> {
        self.note("sync_data");
        Ok(())
    }

    fn sync_all(&self, _: &dyn File) -> io::Result<()> {
        self.note("sync_all");
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// What a caller sees of a file system that it tries everything on, in a directory that is there.
fn tour(fs: &dyn Fs, at: &Path) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut see = |what: &dyn Debug| seen.push(format!("{what:?}"));
    let path = at.join("dir/one");
    see(&fs.create_dir_all(&at.join("dir"), 0o700).is_ok());
    see(&fs.open(&path, OpenOptions::read_only()).unwrap_err().kind());
    let file = fs.open(&path, OpenOptions::create_new()).unwrap();
    see(&file.is_empty().unwrap());
    see(&file.write_at(b"some bytes", 3).unwrap());
    file.write_all_at(b"more", 1).unwrap();
    file.set_len(8).unwrap();
    file.allocate(12).unwrap();
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    file.try_lock(LockKind::Flock).unwrap();
    let other = fs.open(&path, OpenOptions::read_write()).unwrap();
    see(&other.try_lock(LockKind::Flock).unwrap_err().kind());
    let mut buf = [7; 5];
    see(&(file.read_at(&mut buf, 9).unwrap(), buf));
    see(&file.read_exact_at(&mut buf, 9).unwrap_err().kind());
    see(&(file.len().unwrap(), file.as_real().is_some()));
    see(&fs.read(&path).unwrap());
    fs.rename(&path, &at.join("dir/two")).unwrap();
    fs.sync_dir(&at.join("dir")).unwrap();
    see(&fs.exists(&path).unwrap());
    see(&fs.metadata(&at.join("dir/two")).unwrap());
    see(&fs.read_dir(&at.join("dir")).unwrap());
    fs.remove_file(&at.join("dir/two")).unwrap();
    see(&fs.read_dir(&at.join("dir")).unwrap());
    fs.remove_dir_all(&at.join("dir")).unwrap();
    see(&fs.metadata(&at.join("dir")).unwrap_err().kind());
    seen
}

#[test]
fn without_hooks_everything_is_as_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let plain = tour(&RealFs, dir.path());
    let hooked = tour(&Hooked::new(RealFs::shared(), Nothing), dir.path());
    assert_eq!(hooked, plain);
}

#[test]
fn a_hook_stands_in_the_place_of_its_operation() {
    let dir = tempfile::tempdir().unwrap();
    let instead = Instead::default();
    let fs = Hooked::new(RealFs::shared(), instead.clone());
    let path = dir.path().join("file");
    let file = fs.open(&path, OpenOptions::create_new()).unwrap();
    file.write_all_at(b"five!", 10).unwrap();
    file.set_len(100).unwrap();
    file.sync_data().unwrap();
    let full = file.sync_all().unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    fs.sync_dir(dir.path()).unwrap();
    // Nothing came of any of it.
    assert_eq!(fs.read(&path).unwrap(), b"");
    let noted = instead.0.lock().unwrap();
    let expected = [
        "open",
        "write 5 at 10",
        "write 3 at 12",
        "write 1 at 14",
        "set_len 100",
        "sync_data",
        "sync_all",
        "sync_dir",
        "open",
    ];
    assert_eq!(*noted, expected);
}
