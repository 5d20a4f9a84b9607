//! The writes and syncs of our engine without the engine: what remains of a commit when deciding what to
//! write costs nothing. Rows of writes show it as the floor, so that it can be seen how much of a row is
//! the file system and the disk.
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use varve_vfs::{DynFs, File, FileHooks, Fs, FsHooks, Hooked, OpenOptions, RealFs};

use crate::store::{Store, Values};

/// What was done to the file of the engine.
#[derive(Clone, Copy, Debug)]
enum Op {
    Write { at: u64, len: usize },
    SetLen(u64),
    Sync,
}

/// What was done since the last replay.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Op>>>);

impl Log {
    fn push(&self, op: Op) {
        if let Ok(mut ops) = self.0.lock() {
            ops.push(op);
        }
    }
}

/// Writes to files called `db` are noted down.
impl FsHooks for Log {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let file = fs.open(path, options)?;
        if !path.ends_with("db") {
            return Ok(file);
        }
        Ok(Box::new(Hooked::new(file, self.clone())))
    }
}

impl FileHooks for Log {
    fn write_at(&self, file: &dyn File, buf: &[u8], offset: u64) -> io::Result<usize> {
        let len = file.write_at(buf, offset)?;
        self.push(Op::Write { at: offset, len });
        Ok(len)
    }

    fn set_len(&self, file: &dyn File, len_bytes: u64) -> io::Result<()> {
        self.push(Op::SetLen(len_bytes));
        file.set_len(len_bytes)
    }

    fn sync_data(&self, file: &dyn File) -> io::Result<()> {
        // Syncs that run beside the writing have no place in the order of calls; the last one waits for all.
        if std::thread::current().name() != Some("btree-sync") {
            self.push(Op::Sync);
        }
        file.sync_data()
    }

    fn sync_all(&self, file: &dyn File) -> io::Result<()> {
        self.push(Op::Sync);
        file.sync_all()
    }
}

/// Does to a file of its own what was done to the engine's.
pub struct Replay {
    file: Box<dyn File>,
    log: Log,
    bytes: Vec<u8>,
}

/// A file system for the engine, and who replays what is done through it.
pub fn open(dir: &Path) -> Result<(DynFs, Replay)> {
    let log = Log::default();
    let file = RealFs.open(&dir.join("floor"), OpenOptions::create())?;
    let replay = Replay {
        file,
        log: log.clone(),
        bytes: vec![0xa5; 1 << 20],
    };
    Ok((Arc::new(Hooked::new(RealFs::shared(), log)), replay))
}

impl Replay {
    fn replay(&mut self) -> Result<()> {
        let ops = match self.log.0.lock() {
            Ok(mut ops) => std::mem::take(&mut *ops),
            Err(_) => bail!("the engine panicked"),
        };
        for op in ops {
            match op {
                Op::Write { at, len } => {
                    let bytes = self
                        .bytes
                        .get(..len)
                        .context("a longer write than expected")?;
                    self.file.write_all_at(bytes, at)?;
                }
                Op::SetLen(len) => self.file.set_len(len)?,
                Op::Sync => self.file.sync_data()?,
            }
        }
        Ok(())
    }
}

impl Store for Replay {
    fn append(&mut self, _: Range<u64>, _: &Values, _: usize) -> Result<()> {
        self.replay()
    }

    fn delete(&mut self, _: &mut dyn Iterator<Item = u64>) -> Result<()> {
        self.replay()
    }

    fn get(&mut self, _: &mut dyn Iterator<Item = u64>, _: bool) -> Result<u64> {
        bail!("nothing is read here")
    }

    fn scan(&mut self, _: &mut dyn Iterator<Item = u64>, _: u64) -> Result<u64> {
        bail!("nothing is read here")
    }
}
