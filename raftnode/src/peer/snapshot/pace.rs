//! How fast a snapshot leaves.
//!
//! Reading, sending and at the other end writing a database as fast as it goes takes a processor and the
//! disk for as long as that lasts: about half of all puts meanwhile, where they were at their peak. Nobody waits for a snapshot as clients wait for their puts. So it takes what they leave: with
//! nothing to apply there is no limit to speak of, and the more entries there are, the slower it goes. However
//! long it takes, the log behind it is kept (`driver::outgoing`).
//!
//! Called by the thread that reads the database; a function of the times and counts it is given.
use std::time::{Duration, Instant};

/// Bytes a second beside a member that applies nothing: more than there are.
const MOST_BYTES: f64 = 1_073_741_824.0;
/// Entries a second that halve it.
const HALVING_ENTRIES: f64 = 2000.0;
/// Bytes a second beside no matter how many entries.
const LEAST_BYTES: f64 = 16_777_216.0;
/// What is assumed until the first measurement.
const ENTRIES_AT_FIRST: f64 = 20_000.0;
/// How long entries are counted for one measurement.
const WINDOW: Duration = Duration::from_millis(50);
/// What is left of an earlier measurement with each new one that is lower. The snapshot itself holds
/// entries up: fewer of them are no reason to go faster at once.
const FADING: f64 = 0.95;
/// Time that was not used may be made up for within this.
const SLACK: Duration = Duration::from_millis(5);

/// Counts entries, and tells when the next piece is due.
#[derive(Debug)]
pub(crate) struct Pace {
    /// `None` before the first measurement.
    entries_per_second: Option<f64>,
    counted: (Instant, u64),
    due: Instant,
}

impl Pace {
    /// Begins with so many entries applied.
    pub(crate) fn new(now: Instant, applied: u64) -> Self {
        Self {
            entries_per_second: None,
            counted: (now, applied),
            due: now,
        }
    }

    /// How long to wait before a piece of so many bytes leaves, with so many entries applied by now.
    pub(crate) fn wait(&mut self, now: Instant, applied: u64, bytes: usize) -> Duration {
        let (since, before) = self.counted;
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= WINDOW {
            let entries = float(applied.saturating_sub(before)) / elapsed.as_secs_f64();
            let faded = self
                .entries_per_second
                .map_or(0.0, |earlier| earlier * FADING);
            self.entries_per_second = Some(entries.max(faded));
            self.counted = (now, applied);
        }
        let wait = self.due.saturating_duration_since(now);
        let takes = Duration::from_secs_f64(float(bytes as u64) / self.bytes_per_second());
        self.due = self.due.max(now.checked_sub(SLACK).unwrap_or(now)) + takes;
        wait
    }

    fn bytes_per_second(&self) -> f64 {
        let entries = self.entries_per_second.unwrap_or(ENTRIES_AT_FIRST);
        (MOST_BYTES * HALVING_ENTRIES / (HALVING_ENTRIES + entries)).max(LEAST_BYTES)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a rate need not be exact"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
