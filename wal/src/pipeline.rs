//! The next segment, made ready before it is needed.
//!
//! A thread creates `0.tmp`, locks it, reserves its space and writes zeros over it; when the appender
//! takes it, the thread goes on to `1.tmp`, and so forth, two names in turn. The appender renames what
//! it took. With an inline pipeline the same happens on the appender's thread at the moment of need.
//!
//! The zeros turn reserved extents into written ones, so that a later sync of records over them is
//! only a write, not also a change of the file's extents (`docs/formats/wal.md` has the figures). How
//! many there are follows the log: [`FILL_PER_BYTE`] bytes for each byte appended, so that an idle log
//! writes nothing and a busy one is ready in time without a burst.
//!
//! # Failure model
//! A crash leaves a `.tmp` behind, with anything in it; the next process empties it before use. What
//! went wrong in the background may be over by the time a segment is needed: the appender tries once
//! more itself before it fails. An appender that needs the segment before it is full of zeros gets it
//! as it is: the rest is reserved and reads as zero all the same.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use varve_vfs::{DynFs, File, LockKind, OpenOptions};

use crate::error::{Error, Result};
use crate::options::WalOptions;

mod worker;

use worker::Worker;

/// Zeros written and synced at a time: a sync of the log waits at most for one of these.
const FILL_CHUNK: u64 = 1 << 20;
/// Bytes of zeros handed to the system at a time. A large write makes large folios in the page cache, and
/// Linux charges a whole folio as written for each block that an append changes in it: 32 times what
/// goes to the disk, in figures that quotas and operators read.
const FILL_PIECE: usize = 4 << 10;
/// Zeros written ahead for each byte appended: the next segment is ready when this one is half full.
const FILL_PER_BYTE: u64 = 2;

/// A segment without records and without its final name.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

#[derive(Clone, Debug)]
struct Job {
    fs: DynFs,
    dir: PathBuf,
    options: WalOptions,
}

/// What the appender wants of the thread.
#[derive(Debug, Default)]
struct Demand {
    /// How much of the segment in preparation should be zeros by now.
    due_bytes: AtomicU64,
    /// Segments the appender has asked for so far.
    asked: AtomicU64,
    /// The appender is gone.
    stop: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    job: Job,
    /// Of the next segment prepared on the caller's thread.
    inline_number: usize,
    worker: Option<Worker>,
    /// `due_bytes` as last told.
    told_bytes: u64,
}

impl Pipeline {
    pub(crate) fn start(fs: &DynFs, dir: &Path, options: WalOptions) -> Result<Self> {
        let job = Job {
            fs: Arc::clone(fs),
            dir: dir.to_path_buf(),
            options,
        };
        let worker = if options.inline_pipeline {
            None
        } else {
            Some(Worker::start(job.clone()).map_err(Error::io("prepare segments in", dir))?)
        };
        Ok(Self {
            job,
            inline_number: 0,
            worker,
            told_bytes: 0,
        })
    }

    /// Tells how long the newest segment has become.
    pub(crate) fn advance(&mut self, offset: u64) {
        let whole = self.job.fill_bytes();
        let due_bytes = offset.saturating_mul(FILL_PER_BYTE).min(whole);
        let new_bytes = due_bytes.saturating_sub(self.told_bytes);
        if new_bytes == 0 || (new_bytes < FILL_CHUNK && due_bytes < whole) {
            return;
        }
        self.told_bytes = due_bytes;
        if let Some(worker) = &self.worker {
            worker.fill_to(due_bytes);
        }
    }

    /// The next segment; waits for it when it is not ready.
    pub(crate) fn take(&mut self) -> Result<Prepared> {
        self.told_bytes = 0;
        let ready = match &self.worker {
            Some(worker) => worker.take(),
            None => None,
        };
        let prepared = match ready {
            Some(Ok(prepared)) => Ok(prepared),
            // Never the name the thread is at: it is busy with 0 or 1, and this one is renamed at once.
            Some(Err(_)) => self.job.create(2),
            None => {
                self.inline_number += 1;
                let created = self.job.create((self.inline_number - 1) % 2);
                created.and_then(|prepared| {
                    self.job.fill_whole(prepared.file.as_ref())?;
                    Ok(prepared)
                })
            }
        };
        prepared.map_err(Error::io("prepare the next segment in", &self.job.dir))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}

impl Job {
    /// An empty, locked file with all its space.
    fn create(&self, number: usize) -> io::Result<Prepared> {
        let path = self.dir.join(format!("{number}.tmp"));
        let file = self.fs.open(&path, OpenOptions::create())?;
        file.try_lock(LockKind::OpenFileDescription)?;
        if file.len()? > 0 {
            file.set_len(0)?;
        }
        file.allocate(self.options.segment_size_bytes)?;
        Ok(Prepared {
            path,
            file: file.into(),
        })
    }

    /// How many bytes of zeros a segment gets.
    fn fill_bytes(&self) -> u64 {
        if self.options.prefill {
            self.options.segment_size_bytes
        } else {
            0
        }
    }

    fn fill_whole(&self, file: &dyn File) -> io::Result<()> {
        let mut filled = 0;
        while filled < self.fill_bytes() {
            filled = self.fill_chunk(file, filled)?;
        }
        Ok(())
    }

    /// Writes and syncs the zeros after `filled`; how far they then go.
    fn fill_chunk(&self, file: &dyn File, filled: u64) -> io::Result<u64> {
        let len = FILL_CHUNK.min(self.fill_bytes() - filled);
        let zeros = [0; FILL_PIECE];
        let mut at = filled;
        while at < filled + len {
            let piece = FILL_PIECE.min(usize::try_from(filled + len - at).unwrap_or(FILL_PIECE));
            file.write_all_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        if !self.options.unsafe_no_fsync {
            file.sync_data()?;
        }
        Ok(filled + len)
    }
}
