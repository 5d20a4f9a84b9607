//! How long operations take.
//!
//! The simulated disk has no clock: it tells the durations to whoever has one, who sleeps, or advances
//! the time of a simulation. That happens on the thread of the operation, before it takes effect and
//! without the disk's lock, so that other threads go on meanwhile, as with a real disk.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Op;

/// Durations of the operations that reach the medium; reads and locks take none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// A write, whatever its length.
    pub write: Duration,
    /// Added to a write for each mebibyte it carries.
    pub write_per_mib: Duration,
    /// A sync of a file or a directory.
    pub sync: Duration,
    /// A change of a length or a name.
    pub other: Duration,
}

impl Latency {
    pub(super) fn of(&self, op: Op, bytes: usize) -> Duration {
        const MIB: u64 = 1 << 20;
        match op {
            Op::Write => {
                let nanos = u64::try_from(self.write_per_mib.as_nanos()).unwrap_or(u64::MAX);
                let bytes = bytes as u64;
                self.write + Duration::from_nanos(nanos.saturating_mul(bytes) / MIB)
            }
            Op::FileSync | Op::DirSync => self.sync,
            Op::Other => self.other,
        }
    }
}

/// A latency and who lets it pass.
#[derive(Clone)]
pub(super) struct Pace {
    pub(super) latency: Latency,
    pub(super) pass: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.latency.fmt(f)
    }
}
