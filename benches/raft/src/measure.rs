//! What is counted: processor time of this thread, allocations, and time within `step`.
//!
//! Processor time, since the machine may be busy; instructions are for valgrind (`../raft.sh`).

use std::alloc::System;
use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts while a round runs.
pub struct Counters {
    began: Duration,
    allocations_before: usize,
    step_time: Duration,
    messages: u64,
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    proposals: f64,
    time: Duration,
    allocations: usize,
    step_time: Duration,
    messages: u64,
}

fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("time passes"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

impl Counters {
    /// From here on it counts.
    pub fn start() -> Self {
        Self {
            step_time: Duration::ZERO,
            messages: 0,
            allocations_before: allocations(),
            began: processor_time(),
        }
    }

    /// Messages were stepped, from `began` until now.
    pub fn stepped(&mut self, began: Instant, messages: u64) {
        self.step_time += began.elapsed();
        self.messages += messages;
    }

    /// Until here.
    pub fn stop(self, proposals: usize) -> Sample {
        Sample {
            proposals: proposals as f64,
            time: processor_time() - self.began,
            allocations: allocations() - self.allocations_before,
            step_time: self.step_time,
            messages: self.messages,
        }
    }
}

impl Sample {
    /// The faster of two rounds.
    pub fn better_of(self, other: Self) -> Self {
        let fastest = if other.time < self.time { other } else { self };
        Self {
            step_time: self.step_time.min(other.step_time),
            ..fastest
        }
    }

    /// Messages stepped.
    pub fn messages(&self) -> u64 {
        self.messages
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.messages.max(1) as f64;
        write!(
            f,
            "{:.0} | {:.2} | {:.0} | {:.2}",
            self.proposals / self.time.as_secs_f64(),
            messages / self.proposals,
            self.step_time.as_nanos() as f64 / messages,
            self.allocations as f64 / self.proposals,
        )
    }
}
