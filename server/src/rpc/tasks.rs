//! The calls of a connection, run on the connection's own task.
//!
//! hyper hands every HTTP/2 request's future to an executor. A task of the runtime for each would
//! cost an allocation, a queue and often a wake-up of another thread, twice: to it and back to the
//! connection. Here the connection's task polls them itself. A call that waits for the log is woken
//! through the connection, and the answers of a batch leave in one write.
//!
//! A call that answers wakes the connection, which is the task that is running. The runtime would
//! put that task at the end of a queue and call another thread for it; [`Rewake`] turns such wakes
//! into another round instead.
//!
//! # Invariants
//!
//! 1. The calls of a connection end with it: they are dropped together.
//! 2. A future is polled only when it was woken: a connection with many open streams does not pay
//!    for the idle ones.
//! 3. No wake is lost: one that comes during a poll causes a round, any other wakes the task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use parking_lot::Mutex;

/// Rounds in one poll of the task, after which others get their turn.
const ROUNDS: usize = 8;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the calls from hyper. Clones feed the same connection.
#[derive(Clone, Default)]
pub(super) struct StreamTasks {
    /// Calls that came up while hyper was polled; the lock is never contended, since that happens
    /// on the connection's task alone.
    arrived: Arc<Mutex<Vec<Call>>>,
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        self.arrived.lock().push(Box::pin(call));
    }
}

impl StreamTasks {
    /// The side that polls.
    pub(super) fn running(self) -> Running {
        let rewake = Arc::new(Rewake::default());
        Running {
            arrived: self.arrived,
            calls: FuturesUnordered::new(),
            waker: Waker::from(Arc::clone(&rewake)),
            rewake,
        }
    }
}

/// The calls under way.
pub(super) struct Running {
    arrived: Arc<Mutex<Vec<Call>>>,
    calls: FuturesUnordered<Call>,
    rewake: Arc<Rewake>,
    /// What the connection and the calls are given to wake.
    waker: Waker,
}

impl Running {
    /// Polls `connection` to its end, and the calls that come up meanwhile.
    pub(super) async fn beside<C: Future>(&mut self, mut connection: Pin<&mut C>) -> C::Output {
        poll_fn(|cx| {
            self.rewake.task.register(cx.waker());
            let waker = self.waker.clone();
            let inner = &mut Context::from_waker(&waker);
            for _ in 0..ROUNDS {
                self.rewake.state.store(POLLING, Ordering::Release);
                if let Poll::Ready(ended) = connection.as_mut().poll(inner) {
                    return Poll::Ready(ended);
                }
                self.calls.extend(self.arrived.lock().drain(..));
                while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(inner) {}
                if self.rewake.rest() {
                    return Poll::Pending;
                }
            }
            self.rewake.state.store(RESTING, Ordering::Release);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// Nobody polls: a wake must reach the runtime.
const RESTING: u8 = 0;
/// The task is in its poll.
const POLLING: u8 = 1;
/// The task is in its poll and will look again.
const WOKEN: u8 = 2;

/// Passes wakes on, except those that come while the task is awake.
#[derive(Default)]
struct Rewake {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Rewake {
    /// Ends a poll; false when there was a wake since the round began.
    fn rest(&self) -> bool {
        let polling =
            self.state
                .compare_exchange(POLLING, RESTING, Ordering::AcqRel, Ordering::Acquire);
        polling.is_ok()
    }
}

impl Wake for Rewake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A swap rather than a look first: the wake must be ordered before the round it causes.
        let swapped =
            self.state
                .compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if swapped == Err(RESTING) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests;
