//! Who works on the raft role: the raft thread, or whichever thread has just brought work for it.
//!
//! A thread that hands something over and would then sleep does the work itself if nobody is at it, and
//! saves two thread switches. The WAL thread does so after each write. The threads of a tokio runtime do so
//! before they sleep ([`work_before_sleep`]): by then everything that arrived together is in the mailbox,
//! and is one batch. The raft thread has the ticks, and what else nobody does.
//!
//! # Invariants
//! 1. One thread at a time works on the role, and what it takes it takes under the lock: events are handled
//!    in the order of the mailbox.
//! 2. No event is left lying: a thread that finds the lock taken goes away, since its holder looks at the
//!    mailbox again after it has let go; at the latest the raft thread finds it with the next tick.
//! 3. No turn waits for the disk: only the raft thread of the only voter writes in its turn. A thread that
//!    [may](Waits::ForQuickDisk) writes after its turn, while others take turns, what a follower gets alone
//!    (`log_seat`).
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use crate::event::Event;
use crate::log_seat::LogSeat;
use crate::mailbox::{Announce, Mailbox};
use crate::state_machine::Fatal;
use crate::status::Published;
use crate::threads::{RaftThread, Turn};

/// Turns that a thread takes one after the other; then it has done its share.
const MAX_TURNS: usize = 8;

/// The raft role of a member with threads.
pub(crate) struct Turns {
    events: Arc<Mailbox<Event>>,
    published: Arc<Published>,
    log: Arc<LogSeat>,
    seat: Mutex<Seat>,
}

/// What a thread that takes turns may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Never,
    /// For a small log write of a follower, on a disk that was quick lately.
    ForQuickDisk,
}

struct Seat {
    /// `None` once the member has ended.
    raft: Option<RaftThread>,
    /// Until when the raft thread sleeps, if nothing wakes it.
    sleeps_until: Duration,
    /// How the member ends; the raft thread sees to it.
    ends: Option<Result<(), Fatal>>,
}

impl Seat {
    /// One turn; false when there is none to take any more.
    fn take(&mut self, is_raft_thread: bool, writes: bool) -> bool {
        let (Some(raft), None) = (&mut self.raft, &self.ends) else {
            return false;
        };
        self.ends = match raft.take_turn(is_raft_thread, writes) {
            Ok(Turn::Continue) => return true,
            Ok(Turn::Stop) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        false
    }

    /// Whether the raft thread would sleep for longer than it may, since a turn has set a time before that;
    /// it is to be told once.
    fn oversleeps(&mut self) -> bool {
        let Some(at) = self.raft.as_ref().map(RaftThread::wakes_at) else {
            return false;
        };
        let oversleeps = at < self.sleeps_until;
        self.sleeps_until = self.sleeps_until.min(at);
        oversleeps
    }
}

impl Turns {
    pub(crate) fn new(raft: RaftThread) -> Self {
        Self {
            events: Arc::clone(&raft.events),
            published: Arc::clone(&raft.published),
            log: Arc::clone(&raft.log),
            seat: Mutex::new(Seat {
                raft: Some(raft),
                sleeps_until: Duration::MAX,
                ends: None,
            }),
        }
    }

    /// The raft thread: takes the turns that nobody else takes, and ends the member.
    pub(crate) fn run(&self) {
        let mut seat = self.seat.lock();
        if let Some(raft) = &mut seat.raft
            && let Err(error) = raft.begin()
        {
            seat.ends = Some(Err(error));
        }
        loop {
            if let Some(result) = seat.ends.take() {
                let raft = seat.raft.take();
                drop(seat);
                if let Some(raft) = raft {
                    raft.end(result);
                }
                return;
            }
            let Some(raft) = &seat.raft else {
                return;
            };
            let (until, deadline) = (raft.wakes_at(), raft.deadline());
            seat.sleeps_until = until;
            drop(seat);
            self.events.wait(deadline);
            seat = self.seat.lock();
            seat.take(true, false);
        }
    }

    /// Takes turns while something waits, unless another thread is at it.
    pub(crate) fn help(&self, waits: Waits) {
        for _ in 0..MAX_TURNS {
            if !self.events.is_wanted() {
                return;
            }
            let writing = match waits {
                Waits::Never => None,
                Waits::ForQuickDisk => self.log.take_if_quick(),
            };
            // Who holds it looks again.
            let Some(mut seat) = self.seat.try_lock() else {
                return;
            };
            if !seat.take(false, writing.is_some()) {
                break;
            }
            if seat.oversleeps() {
                self.events.nudge();
            }
            let lent = seat.raft.as_mut().and_then(|raft| raft.lent.take());
            drop(seat);
            if let (Some(job), Some(writing)) = (lent, writing) {
                match writing.write(vec![job]) {
                    Ok(written) => written
                        .into_iter()
                        .for_each(|e| self.events.push_quietly(e)),
                    Err(error) => return self.events.push(Event::Failed(error)),
                }
            }
        }
        // To end the member, or to go on.
        self.events.nudge();
    }
}

thread_local! {
    /// What this thread will work on before it sleeps; `None` for a thread that promises nothing.
    static BEFORE_SLEEP: RefCell<Option<Vec<Arc<Turns>>>> = const { RefCell::new(None) };
}

/// Works for the members that this thread has brought requests and messages. To be called by a thread
/// whenever it is about to sleep (tokio: `on_thread_park` of a runtime's builder); its first call promises
/// that it will be. From then on what it brings waits for the next call, which costs fewer thread switches
/// than waking the raft thread. For threads that sleep soon again: what one brings waits for all that it
/// does before.
pub fn work_before_sleep() {
    work(Waits::Never);
}

/// [`work_before_sleep`] for a thread that may wait for the disk: one that has nothing to do but bring
/// members what their peers send. It writes small appends that a follower gets one at a time, as long as the
/// disk answers each within a millisecond. Should the disk hang, so does the one call that finds out.
pub fn write_before_sleep() {
    work(Waits::ForQuickDisk);
}

fn work(waits: Waits) {
    loop {
        let work = BEFORE_SLEEP.with_borrow_mut(|list| match list {
            Some(list) => std::mem::take(list),
            None => {
                *list = Some(Vec::new());
                Vec::new()
            }
        });
        if work.is_empty() {
            return;
        }
        for turns in work {
            turns.help(waits);
        }
    }
}

/// Whether this thread works on the member's raft role before it sleeps: then nobody need be woken. Has it
/// promise so. Not for the only voter, which writes in its turn.
pub(crate) fn promise(turns: &Arc<Turns>) -> Announce {
    if turns.published.is_sole_voter.load(Ordering::Relaxed) {
        return Announce::Now;
    }
    BEFORE_SLEEP.with_borrow_mut(|list| match list {
        None => Announce::Now,
        Some(list) => {
            if !list.iter().any(|known| Arc::ptr_eq(known, turns)) {
                list.push(Arc::clone(turns));
            }
            Announce::Later
        }
    })
}
