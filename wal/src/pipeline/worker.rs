//! The thread that prepares segments.
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use varve_vfs::File;

use super::{Demand, FILL_CHUNK, Job, Prepared};

#[derive(Debug)]
pub(super) struct Worker {
    ready: Mutex<Receiver<io::Result<Prepared>>>,
    demand: Arc<Demand>,
    thread: JoinHandle<()>,
}

impl Worker {
    pub(super) fn start(job: Job) -> io::Result<Self> {
        // Capacity 0: one segment is ready, in the hands of the thread, none waits in the channel.
        let (hand_over, ready) = sync_channel(0);
        let demand = Arc::new(Demand::default());
        let of_thread = Arc::clone(&demand);
        let thread = Builder::new()
            .name("wal-pipeline".to_owned())
            .spawn(move || run(&job, &hand_over, &of_thread))?;
        Ok(Self {
            ready: Mutex::new(ready),
            demand,
            thread,
        })
    }

    pub(super) fn fill_to(&self, due_bytes: u64) {
        self.demand.due_bytes.store(due_bytes, Ordering::Relaxed);
        self.thread.thread().unpark();
    }

    /// The next segment, as far as it is; `None` when the thread is gone.
    pub(super) fn take(&self) -> Option<io::Result<Prepared>> {
        // Nothing is due of the segment after this one yet.
        self.demand.due_bytes.store(0, Ordering::Relaxed);
        self.demand.asked.fetch_add(1, Ordering::Release);
        self.thread.thread().unpark();
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.recv().ok()
    }

    pub(super) fn stop(self) {
        self.demand.stop.store(true, Ordering::Relaxed);
        drop(self.ready);
        self.thread.thread().unpark();
        // The thread does nothing that panics; if it did, its message is out and there is no more to do.
        drop(self.thread.join());
    }
}

/// Prepares segments until the appender is gone, then removes the one nobody took.
fn run(job: &Job, hand_over: &SyncSender<io::Result<Prepared>>, demand: &Demand) {
    for given in 0.. {
        let number = usize::from(given % 2 == 1);
        let prepared = job.create(number).and_then(|prepared| {
            fill(job, prepared.file.as_ref(), demand, given)?;
            Ok(prepared)
        });
        if demand.stop.load(Ordering::Relaxed) {
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

/// Writes zeros as they become due, until the segment is full of them or asked for.
fn fill(job: &Job, file: &dyn File, demand: &Demand, given: u64) -> io::Result<()> {
    let whole = job.fill_bytes();
    let mut filled = 0;
    while filled < whole
        && demand.asked.load(Ordering::Acquire) <= given
        && !demand.stop.load(Ordering::Relaxed)
    {
        let next = whole.min(filled + FILL_CHUNK);
        if demand.due_bytes.load(Ordering::Relaxed) >= next {
            filled = job.fill_chunk(file, filled)?;
        } else {
            // Woken by each of the three, also when it was before this was reached.
            std::thread::park();
        }
    }
    Ok(())
}
