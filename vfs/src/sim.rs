//! A disk in memory that remembers what was not synced.
//!
//! Tests hand a [`SimFs`] to a store, run it, and ask for the images a power cut could have left
//! ([`SimFs::crash_image`]), or arrange for the n-th operation to fail ([`SimFs::fail_at`]). Every
//! handle and clone shares one disk; nothing here looks at a clock, and all choices come from the
//! caller's seed, so the same calls give the same images.
//!
//! # Invariants
//! 1. Reads see every write at once, synced or not, as the page cache gives them.
//! 2. What [`File::sync_data`](crate::File::sync_data) or [`Fs::sync_dir`](crate::Fs::sync_dir) covered
//!    is in every later image; anything else may be missing under some rule.
//! 3. A sync that failed has thrown its writes away: a later, successful one does not bring them back
//!    (Linux marks the pages clean after a failed write-back).
//!
//! # Not here
//! What real media are assumed to do: `docs/formats/vfs.md`.
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fs::{DynFs, File, Fs, Metadata, OpenOptions};

mod content;
mod crash;
mod disk;
mod fault;
mod handle;
mod host;
mod inode;
mod latency;
mod names;
mod rng;
#[cfg(test)]
mod tests;

pub use content::SECTOR_BYTES;
pub use crash::CrashRule;
pub use fault::{Fault, OpCounts};
pub use latency::Latency;

use disk::Disk;
use fault::Op;
use handle::SimFile;
use latency::Pace;

/// A simulated disk with one file system on it; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
}

impl SimFs {
    /// An empty, healthy disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle for code that takes any file system.
    pub fn shared(&self) -> DynFs {
        Arc::new(self.clone())
    }

    /// Mutating operations so far: the index the next one gets in [`SimFs::fail_at`].
    ///
    /// Writes, length changes, syncs of files and directories, creations, renames and removals count
    /// one each; reads, opens of existing files and locks do not.
    pub fn op_count(&self) -> u64 {
        self.disk().faults.next_op()
    }

    /// How many operations of each kind were carried out, and how many bytes were written.
    pub fn counts(&self) -> OpCounts {
        self.disk().faults.counts()
    }

    /// Arranges for operation number `op` (from 0, see [`SimFs::op_count`]) to meet `fault`.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.disk().faults.plan(op, fault);
    }

    /// Forgets every planned fault and lets a crashed disk work again.
    pub fn heal(&self) {
        self.disk().faults.heal();
    }

    /// Whether a planned [`Fault::Crash`] has happened.
    pub fn is_crashed(&self) -> bool {
        self.disk().faults.is_crashed()
    }

    /// Limits the space of the disk; a write or reservation beyond it fails with `StorageFull`.
    /// `None` takes the limit away.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.disk().space_limit_bytes = bytes;
    }

    /// Space that files with a name take, what is reserved for them included.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used_bytes()
    }

    /// Makes every mutating operation take its time: `pass` is told how long and returns when that is
    /// over. See [`Latency`]; what it says of an operation that fails counts as well.
    pub fn slow_down(&self, latency: Latency, pass: impl Fn(Duration) + Send + Sync + 'static) {
        let pass = Arc::new(pass);
        self.disk().pace = Some(Pace { latency, pass });
    }

    /// Lets operations take no time again.
    pub fn speed_up(&self) {
        self.disk().pace = None;
    }

    /// Makes everything durable, as if the machine had been idle for long.
    pub fn sync_everything(&self) {
        self.disk().settle();
    }

    /// A disk as the machine could find it after losing power now.
    ///
    /// The image is a new, healthy disk on which everything is durable; locks are gone. The same
    /// journal, rule and seed give the same image.
    #[must_use]
    pub fn crash_image(&self, rule: CrashRule, seed: u64) -> Self {
        let image = crash::image(&self.disk(), rule, seed);
        Self {
            disk: Arc::new(Mutex::new(image)),
        }
    }

    /// Copies a directory tree of the host into this disk, durable; `to` is created.
    pub fn load_dir(&self, from_host: &Path, to: &Path) -> io::Result<()> {
        host::load(self, from_host, to)?;
        self.sync_everything();
        Ok(())
    }

    /// Copies a directory tree of this disk to the host; `to_host` is created.
    pub fn dump_dir(&self, from: &Path, to_host: &Path) -> io::Result<()> {
        host::dump(self, from, to_host)
    }

    /// Lets the time pass that an operation takes.
    fn pass(&self, op: Op, bytes: usize) {
        let pace = self.disk().pace.clone();
        if let Some(Pace { latency, pass }) = pace {
            pass(latency.of(op, bytes));
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A panic of a test thread while it held the lock must not hide its own message.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        if options.create || options.create_new || options.truncate {
            self.pass(Op::Other, 0);
        }
        let inode = self.disk().open(path, options)?;
        Ok(Box::new(SimFile::new(self.clone(), inode, options)))
    }

    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.pass(Op::Other, 0);
        self.disk().create_dir_all(path, mode)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk().read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Op::Other, 0);
        self.disk().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.pass(Op::Other, 0);
        self.disk().remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.pass(Op::Other, 0);
        self.disk().remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(Op::DirSync, 0);
        self.disk().sync_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk().metadata(path)
    }
}
