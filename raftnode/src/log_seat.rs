//! Who writes the log: the WAL thread, or a thread that has just brought a follower something small.
//!
//! A follower that gets one small append at a time would wake the WAL thread for each, and do nothing else
//! meanwhile. A thread that may wait for a quick disk takes the seat before its turn; what the turn has to
//! write it writes then itself, after it has let go of the raft role, which saves a thread switch and a
//! wake-up. With more to write, on a leader and on a disk that was slow of late the WAL thread writes.
//!
//! # Invariants
//! 1. Appends are written in the order in which the raft role gave them out. A turn keeps an append for its
//!    thread only while that thread holds this seat and nothing is in flight; what later turns give the WAL
//!    thread waits for the seat.
//! 2. Nothing is written after the member has ended: its end waits for the seat and takes the writer out.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use varve_proto::raftpb::Message;

use crate::driver::take_responses;
use crate::event::{ApplyJob, Event};
use crate::log_writer::{AppendJob, LogWriter};
use crate::mailbox::Mailbox;
use crate::state_machine::{Fatal, Observer, WalWrite};

/// A write that takes no longer than this is a quick one.
const QUICK: Duration = Duration::from_millis(1);

/// So many writes in a row have to be quick for others than the WAL thread to wait for the next one.
const QUICK_IN_A_ROW: u64 = 32;

/// What it takes to write appends.
pub(crate) struct LogRole {
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) apply_jobs: Arc<Mailbox<ApplyJob>>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// One thread at a time writes.
pub(crate) struct LogSeat {
    /// `None` once the member has ended.
    role: Mutex<Option<LogRole>>,
    /// Quick writes since the last that was not.
    quick: AtomicU64,
}

/// The seat, taken.
pub(crate) struct Writing<'a> {
    seat: &'a LogSeat,
    role: MutexGuard<'a, Option<LogRole>>,
}

impl LogSeat {
    pub(crate) fn new(role: LogRole) -> Self {
        Self {
            role: Mutex::new(Some(role)),
            quick: AtomicU64::new(0),
        }
    }

    /// Waits for the seat.
    pub(crate) fn take(&self) -> Writing<'_> {
        Writing {
            seat: self,
            role: self.role.lock(),
        }
    }

    /// The seat, if nobody has it and the disk was quick lately.
    pub(crate) fn take_if_quick(&self) -> Option<Writing<'_>> {
        if self.quick.load(Ordering::Relaxed) < QUICK_IN_A_ROW {
            return None;
        }
        Some(Writing {
            seat: self,
            role: self.role.try_lock()?,
        })
    }

    /// Learns from a write how quick the disk is; one without a sync says nothing.
    fn note(&self, synced: bool, duration: Duration) {
        if synced && duration <= QUICK {
            self.quick.fetch_add(1, Ordering::Relaxed);
        } else if synced {
            self.quick.store(0, Ordering::Relaxed);
        }
    }

    /// The member has ended: waits for a write under way, and lets nobody write any more.
    pub(crate) fn close(&self) {
        drop(self.role.lock().take());
    }
}

impl Writing<'_> {
    /// Writes appends with one sync; what the raft role is to be told of it. `None`: the member has ended.
    pub(crate) fn write(self, jobs: Vec<AppendJob>) -> Result<Option<Event>, Fatal> {
        let Some(role) = &*self.role else {
            return Ok(None);
        };
        let count = jobs.len();
        let (written, responses) = role.persist(jobs)?;
        self.seat.note(written.synced, written.duration);
        role.observer.wal_written(written);
        Ok(Some(Event::Appended {
            jobs: count,
            responses,
        }))
    }
}

impl LogRole {
    /// Writes appends, passes received snapshots on to the apply thread, and gives the responses to release.
    pub(crate) fn persist(
        &self,
        mut jobs: Vec<AppendJob>,
    ) -> Result<(WalWrite, Vec<Message>), Fatal> {
        let written = self.writer.write(&jobs)?;
        for job in &mut jobs {
            // Before the response: the core hands out entries behind the snapshot once it has that.
            if let Some(snapshot) = job.snapshot.take() {
                self.apply_jobs.push(ApplyJob::Restore(snapshot));
            }
        }
        Ok((written, take_responses(&mut jobs)))
    }
}

#[cfg(test)]
mod tests;
