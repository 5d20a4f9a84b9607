//! What time it is for a member, counted from its start.
//!
//! Everything in this crate that measures time asks here, so that a [`Stepper`](crate::Stepper) runs by
//! a clock that only its scheduler moves.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A clock shared by the threads of one member.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The system's monotonic clock since this instant.
    System(Instant),
    /// Nanoseconds that a scheduler has let pass.
    Stepped(AtomicU64),
}

impl Clock {
    /// The system's clock, from now on.
    pub(crate) fn system() -> Self {
        Self::System(Instant::now())
    }

    /// A clock that stands at zero until it is moved.
    pub(crate) fn stepped() -> Self {
        Self::Stepped(AtomicU64::new(0))
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Stepped(nanos) => Duration::from_nanos(nanos.load(Ordering::SeqCst)),
        }
    }

    /// The instant a sleeper waits for; `None` where nobody sleeps.
    pub(crate) fn instant(&self, at: Duration) -> Option<Instant> {
        match self {
            Self::System(start) => Some(*start + at),
            Self::Stepped(_) => None,
        }
    }

    /// Lets time pass on a stepped clock; the system's passes by itself.
    pub(crate) fn advance(&self, by: Duration) {
        if let Self::Stepped(nanos) = self {
            let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            nanos.fetch_add(by, Ordering::SeqCst);
        }
    }
}
