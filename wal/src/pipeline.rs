//! The next segment, made ready before it is needed.
//!
//! A thread creates `0.tmp`, locks it, reserves its space (and writes zeros over it when asked to) and
//! waits until the appender takes it; then it goes on to `1.tmp`, and so forth, two names in turn.
//! The appender renames what it took. With an inline pipeline the same happens on the appender's
//! thread at the moment of need.
//!
//! # Failure model
//! A crash leaves a `.tmp` behind, with anything in it; the next process empties it before use. What
//! went wrong in the background may be over by the time a segment is needed: the appender tries once
//! more itself before it fails.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use varve_vfs::{DynFs, File, LockKind, OpenOptions};

use crate::error::{Error, Result};
use crate::options::WalOptions;

/// Zeros are written in pieces with a pause after each, so that the log's own syncs do not wait
/// behind 64 MB: at most about 100 MB/s.
const PREFILL_CHUNK: usize = 1 << 20;
const PREFILL_PAUSE: Duration = Duration::from_millis(10);

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

#[derive(Debug)]
pub(crate) struct Pipeline {
    job: Job,
    /// Of the next segment prepared on the caller's thread.
    inline_number: usize,
    worker: Option<Worker>,
}

#[derive(Debug)]
struct Worker {
    ready: std::sync::Mutex<Receiver<io::Result<Prepared>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
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
        })
    }

    /// The next segment; waits for it when it is not ready.
    pub(crate) fn take(&mut self) -> Result<Prepared> {
        let ready = match &self.worker {
            Some(worker) => worker.take(),
            None => None,
        };
        let prepared = match ready {
            Some(Ok(prepared)) => Ok(prepared),
            // Never the name the thread is at: it is busy with 0 or 1, and this one is renamed at once.
            Some(Err(_)) => self.job.prepare(2, &AtomicBool::new(false)),
            None => {
                self.inline_number += 1;
                self.job
                    .prepare((self.inline_number - 1) % 2, &AtomicBool::new(false))
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

impl Worker {
    fn start(job: Job) -> io::Result<Self> {
        // Capacity 0: one segment is ready, in the hands of the thread, none waits in the channel.
        let (hand_over, ready) = sync_channel(0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = Builder::new()
            .name("wal-pipeline".to_owned())
            .spawn(move || run(&job, &hand_over, &stopping))?;
        Ok(Self {
            ready: std::sync::Mutex::new(ready),
            stop,
            thread,
        })
    }

    fn take(&self) -> Option<io::Result<Prepared>> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.recv().ok()
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.ready);
        // The thread does nothing that panics; if it did, its message is out and there is no more to do.
        drop(self.thread.join());
    }
}

/// Prepares segments until the appender is gone, then removes the one nobody took.
fn run(job: &Job, hand_over: &SyncSender<io::Result<Prepared>>, stop: &AtomicBool) {
    for number in (0..2).cycle() {
        let prepared = job.prepare(number, stop);
        if stop.load(Ordering::Relaxed) {
            drop(prepared.and_then(|p| job.fs.remove_file(&p.path)));
            return;
        }
        if let Err(refused) = hand_over.send(prepared) {
            // Left behind it would only cost space, and the next start reuses it.
            drop(refused.0.and_then(|p| job.fs.remove_file(&p.path)));
            return;
        }
    }
}

impl Job {
    fn prepare(&self, number: usize, stop: &AtomicBool) -> io::Result<Prepared> {
        let path = self.dir.join(format!("{number}.tmp"));
        let file = self.fs.open(&path, OpenOptions::create())?;
        file.try_lock(LockKind::OpenFileDescription)?;
        if file.len()? > 0 {
            file.set_len(0)?;
        }
        file.allocate(self.options.segment_size_bytes)?;
        if self.options.prefill {
            self.prefill(file.as_ref(), stop)?;
        }
        Ok(Prepared {
            path,
            file: file.into(),
        })
    }

    fn prefill(&self, file: &dyn File, stop: &AtomicBool) -> io::Result<()> {
        let zeros = vec![0; PREFILL_CHUNK];
        let mut at = 0;
        while at < self.options.segment_size_bytes && !stop.load(Ordering::Relaxed) {
            let left = self.options.segment_size_bytes - at;
            let len = usize::try_from(left).map_or(PREFILL_CHUNK, |left| left.min(PREFILL_CHUNK));
            file.write_all_at(&zeros[..len], at)?;
            at += len as u64;
            if !self.options.inline_pipeline {
                file.sync_data()?;
                std::thread::sleep(PREFILL_PAUSE);
            }
        }
        if self.options.unsafe_no_fsync {
            Ok(())
        } else {
            file.sync_data()
        }
    }
}
