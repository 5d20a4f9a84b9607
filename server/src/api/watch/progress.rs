//! When idle watchers hear of progress.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval_at};

/// Ticks at the interval plus up to a tenth of it, a different part for each stream: watchers that
/// were created together shall not all be told at once.
pub(super) fn ticker(interval: Duration) -> Interval {
    // The hasher's keys are the standard library's own randomness; no more is needed here.
    let part = u32::try_from(RandomState::new().hash_one(()) % 1000).unwrap_or(0);
    let period = with_jitter(interval, part);
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The interval and `thousandths` of a tenth of it.
fn with_jitter(interval: Duration, thousandths: u32) -> Duration {
    interval + interval / 10 * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        let interval = Duration::from_mins(10);
        assert_eq!(with_jitter(interval, 0), interval);
        assert_eq!(with_jitter(interval, 500), Duration::from_secs(630));
        assert!(with_jitter(interval, 999) < Duration::from_mins(11));
    }
}
