//! A member with all its threads, whose disk stops answering.
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use varve_vfs::{DynFs, File, FileHooks, Fs, FsHooks, Hooked, OpenOptions, SimFs};

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

/// Log files whose syncs hang while the switch says so.
#[derive(Clone, Debug)]
struct Hanging(Arc<Switch>);

impl FsHooks for Hanging {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let file = fs.open(path, options)?;
        if path.extension().is_none_or(|e| e != "wal") {
            return Ok(file);
        }
        Ok(Box::new(Hooked::new(file, self.clone())))
    }
}

impl FileHooks for Hanging {
    fn sync_data(&self, file: &dyn File) -> io::Result<()> {
        self.0.wait();
        file.sync_data()
    }
}

/// The others commit what the leader cannot write, and it learns so while its write hangs; a turn that waited
/// for the disk would never get to hand over, nor to hear of another leader.
#[test]
fn a_leader_whose_disk_hangs_goes_on_ticking_and_hands_over() {
    let board = Arc::new(Switchboard::default());
    let switches: Vec<Arc<Switch>> = (0..3).map(|_| Arc::default()).collect();
    for (id, switch) in (1..).zip(&switches) {
        let hanging = Hanging(Arc::clone(switch));
        let fs: DynFs = Arc::new(Hooked::new(SimFs::new().shared(), hanging));
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
