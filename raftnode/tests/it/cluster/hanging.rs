//! A member with all its threads, whose disk stops answering.
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use varve_vfs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions, SimFs};

use super::threads::{SOON, Switchboard, node, read, start, stop};

/// Whether syncs of log files hang.
#[derive(Debug, Default)]
struct Switch {
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Switch {
    fn set(&self, hangs: bool) {
        *self.hangs.lock() = hangs;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut hangs = self.hangs.lock();
        while *hangs {
            self.changed.wait(&mut hangs);
        }
    }
}

#[derive(Debug)]
struct Hanging<T> {
    inner: T,
    switch: Arc<Switch>,
    is_log: bool,
}

impl Fs for Hanging<DynFs> {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Hanging {
            inner: self.inner.open(path, options)?,
            switch: Arc::clone(&self.switch),
            is_log: path.extension().is_some_and(|e| e == "wal"),
        }))
    }
    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.inner.create_dir_all(path, mode)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }
}

impl File for Hanging<Box<dyn File>> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(buf, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.inner.set_len(len_bytes)
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.inner.allocate(len_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.is_log {
            self.switch.wait();
        }
        self.inner.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }
    fn try_lock(&self, kind: LockKind) -> io::Result<()> {
        self.inner.try_lock(kind)
    }
}

/// The others commit what the leader cannot write, and it learns so while its write hangs; a turn that waited
/// for the disk would never get to hand over, nor to hear of another leader.
#[test]
fn a_leader_whose_disk_hangs_goes_on_ticking_and_hands_over() {
    let board = Arc::new(Switchboard::default());
    let switches: Vec<Arc<Switch>> = (0..3).map(|_| Arc::default()).collect();
    for (id, switch) in (1..).zip(&switches) {
        let fs: DynFs = Arc::new(Hanging {
            inner: SimFs::new().shared(),
            switch: Arc::clone(switch),
            is_log: false,
        });
        start(&board, id, &fs, true);
    }
    read(&board, 1);
    let first = node(&board, 1).status().leader;
    let place = usize::try_from(first - 1).unwrap();
    switches[place].set(true);
    let leader = node(&board, first);
    for n in 0..5u64 {
        leader.propose(n, Bytes::from(format!("{n:040}"))).unwrap();
    }
    let began = std::time::Instant::now();
    loop {
        let known = leader.status().leader;
        if known != 0 && known != first {
            break;
        }
        assert!(began.elapsed() < SOON, "it still leads");
        std::thread::yield_now();
    }
    // Its disk hangs all the while; it serves reads through the new leader.
    read(&board, first);
    switches[place].set(false);
    stop(&board);
}
