//! The thread that writes log lines, and the bounded queue before it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait. At about 300 bytes a line this is some MiB, and far more than one burst.
const CAPACITY: usize = 8192;

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// Where layers put their lines.
#[derive(Clone)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Hands a line over, or counts it as dropped.
    pub(super) fn push(&self, line: Vec<u8>) {
        match self.sender.try_send(Message::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Ends the writer thread when dropped, after everything before it was written.
#[derive(Debug)]
pub struct LogGuard {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Line(_) => "Line",
            Self::Stop => "Stop",
        })
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let stopped = self.sender.send(Message::Stop).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| stopped) {
            // A writer that panicked has nothing left to say.
            drop(thread.join());
        }
    }
}

/// Starts the thread.
pub(super) fn spawn(outputs: Vec<Box<dyn Write + Send>>) -> io::Result<(Queue, LogGuard)> {
    let (sender, receiver) = sync_channel(CAPACITY);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    let thread = std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || run(&receiver, outputs, &counter))?;
    let guard = LogGuard {
        sender: sender.clone(),
        thread: Some(thread),
    };
    Ok((Queue { sender, dropped }, guard))
}

/// Writes whatever waits in one call per output, then waits again.
fn run(receiver: &Receiver<Message>, mut outputs: Vec<Box<dyn Write + Send>>, dropped: &AtomicU64) {
    let mut batch = Vec::new();
    let mut stop = false;
    while !stop {
        batch.clear();
        let mut next = receiver.recv().ok();
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Stop => {
                    stop = true;
                    break;
                }
            }
            next = if batch.len() < 1 << 16 {
                receiver.try_recv().ok()
            } else {
                None
            };
        }
        // An empty batch without a stop means that every sender is gone.
        stop |= batch.is_empty();
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let note = format!(
                "{{\"level\":\"warn\",\"msg\":\"log lines were dropped, the output is too slow\",\"dropped\":{lost}}}\n"
            );
            batch.extend_from_slice(note.as_bytes());
        }
        for output in &mut outputs {
            // There is nowhere to report that the log cannot be written.
            drop(output.write_all(&batch).and_then(|()| output.flush()));
        }
    }
}

#[cfg(test)]
mod tests;
