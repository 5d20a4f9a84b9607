//! Syncing what a long commit has written so far while it writes the rest.
//!
//! Used by [`Out`](super::Out). The sync of a large commit waits for the disk for about as long as the
//! commit took to put its pages together; both at once take less. A thread of its own syncs the file, again
//! and again, as long as enough was written meanwhile; it lives as long as the commit.
//!
//! # Failure model
//! Linux reports a failed write to one sync only, whichever comes first: so a commit is durable if its own
//! last sync and every sync of the thread succeeded. [`Ahead::join`] says so, before the meta is written.
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use varve_vfs::File;

#[derive(Debug)]
pub(super) struct Ahead {
    /// Bytes written between two syncs at least.
    every: u64,
    /// Bytes written since the last sync began.
    written: u64,
    worker: Option<Worker>,
    /// What the syncs said that were made without a thread.
    inline: io::Result<()>,
}

#[derive(Debug)]
struct Worker {
    /// Takes a message only while the thread waits for one.
    again: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

fn start(file: &Arc<dyn File>) -> Option<Worker> {
    let file = Arc::clone(file);
    let (again, asked) = sync_channel(0);
    let work = move || {
        loop {
            file.sync_data()?;
            if asked.recv().is_err() {
                return Ok(());
            }
        }
    };
    // Without a thread the commit's own sync does it all.
    let thread = Builder::new().name("btree-sync".into()).spawn(work).ok()?;
    Some(Worker { again, thread })
}

impl Ahead {
    /// Syncs whenever `every` more bytes were written.
    pub(super) fn new(every: u64) -> Self {
        Self {
            every,
            written: 0,
            worker: None,
            inline: Ok(()),
        }
    }

    /// `len` more bytes were written to `file`.
    pub(super) fn wrote(&mut self, file: &Arc<dyn File>, len: u64) {
        self.written += len;
        if self.written < self.every {
            return;
        }
        match &self.worker {
            // A simulated disk has its faults and crashes at calls in one order.
            _ if file.as_real().is_none() => {
                if self.inline.is_ok() {
                    self.inline = file.sync_data();
                }
            }
            Some(worker) if worker.again.try_send(()).is_err() => return,
            Some(_) => {}
            None => self.worker = start(file),
        }
        self.written = 0;
    }

    /// Waits for the thread and says whether all syncs beside the writing succeeded.
    pub(super) fn join(&mut self) -> io::Result<()> {
        let inline = std::mem::replace(&mut self.inline, Ok(()));
        let Some(Worker { again, thread }) = self.worker.take() else {
            return inline;
        };
        drop(again);
        match thread.join() {
            Ok(synced) => synced,
            Err(_) => Err(io::Error::other("the thread that syncs panicked")),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Of a commit that was given up: whether its pages are on disk matters to nobody.
        drop(self.join());
    }
}
