//! Members with all their threads: who waits for their disks, and what happens when one stops answering.
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use varve_raftnode::write_before_sleep;
use varve_vfs::{DynFs, File, FileHooks, Fs, FsHooks, Hooked, OpenOptions, SimFs};

use super::threads::{SOON, Switchboard, node, read, start, stop, wait};

/// Whether syncs of log files hang.
#[derive(Debug, Default)]
struct Switch {
    hangs: Mutex<bool>,
    changed: Condvar,
    /// Names of the threads that synced a log file, and how often.
    syncs: Mutex<BTreeMap<String, u64>>,
    /// Name of the thread that hangs.
    hanging: Mutex<Option<String>>,
}

impl Switch {
    fn set(&self, hangs: bool) {
        *self.hangs.lock() = hangs;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().to_owned();
        *self.syncs.lock().entry(name.clone()).or_default() += 1;
        let mut hangs = self.hangs.lock();
        while *hangs {
            *self.hanging.lock() = Some(name.clone());
            self.changed.wait(&mut hangs);
        }
    }

    fn syncs_of(&self, thread: &str) -> u64 {
        self.syncs.lock().get(thread).copied().unwrap_or(0)
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

/// Three members that have a leader, on disks that can hang.
fn three(board: &Arc<Switchboard>) -> Vec<Arc<Switch>> {
    let switches: Vec<Arc<Switch>> = (0..3).map(|_| Arc::default()).collect();
    for (id, switch) in (1..).zip(&switches) {
        let hanging = Hanging(Arc::clone(switch));
        let fs: DynFs = Arc::new(Hooked::new(SimFs::new().shared(), hanging));
        start(board, id, &fs, true);
    }
    read(board, 1);
    switches
}

/// From now on a runtime for each member, with one thread that may wait for the disk, brings it what the
/// others send.
fn carry(board: &Arc<Switchboard>) -> Vec<Runtime> {
    let runtime = |id: u64| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("carrier");
        let runtime = builder.on_thread_park(write_before_sleep).build().unwrap();
        let (carrier, mut messages) = unbounded_channel();
        let member = node(board, id);
        runtime.spawn(async move {
            while let Some(message) = messages.recv().await {
                let _full = member.receive(message);
            }
        });
        board.carriers.write().insert(id, carrier);
        runtime
    };
    (1..=3).map(runtime).collect()
}

/// Puts one thing after the other, each when the one before is applied at the leader.
fn put_alone(board: &Switchboard, leader: u64, times: u64) {
    for n in 0..times {
        let member = node(board, leader);
        let before = member.status().applied;
        member.propose(n, Bytes::from(format!("{n:040}"))).unwrap();
        wait(board, leader, before + 1);
    }
}

/// And never at the leader, whose write runs beside those of its followers.
#[test]
fn a_thread_that_may_wait_writes_what_a_follower_gets_alone() {
    let board = Arc::new(Switchboard::default());
    let switches = three(&board);
    let runtimes = carry(&board);
    let leader = node(&board, 1).status().leader;
    let lent = |id: u64| switches[usize::try_from(id - 1).unwrap()].syncs_of("carrier");
    let before = lent(leader);
    let began = std::time::Instant::now();
    while (1..=3).any(|id| id != leader && lent(id) < 50) {
        assert!(
            began.elapsed() < SOON,
            "{:?}",
            switches
                .iter()
                .map(|s| s.syncs.lock().clone())
                .collect::<Vec<_>>()
        );
        put_alone(&board, leader, 100);
    }
    if node(&board, leader).status().leader == leader {
        assert_eq!(lent(leader), before);
    }
    // Everybody has everything.
    let index = read(&board, 1);
    for id in 1..=3 {
        wait(&board, id, index);
    }
    stop(&board);
    drop(runtimes);
}

/// The thread that brings a follower its messages hangs in its disk. The others go on, the follower ticks,
/// and goes on once its disk does.
#[test]
fn a_follower_whose_disk_hangs_under_a_thread_that_may_wait_catches_up_later() {
    let board = Arc::new(Switchboard::default());
    let switches = three(&board);
    let runtimes = carry(&board);
    let leader = node(&board, 1).status().leader;
    let follower = leader % 3 + 1;
    let switch = &switches[usize::try_from(follower - 1).unwrap()];
    let began = std::time::Instant::now();
    loop {
        put_alone(&board, leader, 100);
        switch.set(true);
        put_alone(&board, leader, 10);
        while switch.hanging.lock().is_none() {
            assert!(began.elapsed() < SOON, "its log is not written");
            std::thread::yield_now();
        }
        if switch.hanging.lock().as_deref() == Some("carrier") {
            break;
        }
        // It was behind, and the WAL thread wrote.
        assert!(began.elapsed() < SOON, "{:?}", switch.syncs.lock());
        switch.set(false);
        *switch.hanging.lock() = None;
        wait(&board, follower, read(&board, leader));
    }
    let index = node(&board, leader).status().applied;
    // Its last tick is younger than the hang: another thread than the one that hangs has them.
    let hangs_since = std::time::Instant::now();
    while node(&board, follower).tick_age() >= hangs_since.elapsed() {
        assert!(hangs_since.elapsed() < SOON, "it ticks no more");
        std::thread::yield_now();
    }
    put_alone(&board, leader, 10);
    assert!(node(&board, follower).status().applied < index + 10);
    switch.set(false);
    let index = read(&board, leader);
    for id in 1..=3 {
        wait(&board, id, index);
    }
    stop(&board);
    drop(runtimes);
}

/// The others commit what the leader cannot write, and it learns so while its write hangs; a turn that waited
/// for the disk would never get to hand over, nor to hear of another leader.
#[test]
fn a_leader_whose_disk_hangs_goes_on_ticking_and_hands_over() {
    let board = Arc::new(Switchboard::default());
    let switches = three(&board);
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
