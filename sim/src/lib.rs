//! Clusters that run on virtual time, a virtual network and simulated disks, and checkers that watch.
//!
//! Everything follows from a seed: the settings of the cluster, what happens to it, how long each
//! message and each write takes. One world runs on one thread and looks at no clock, so that a seed
//! repeats its run exactly; seeds are spread over threads. Development only: `sim` is in no binary that
//! serves anybody.
//!
//! # Parts
//! [`Queue`] (virtual time), [`Net`], [`Trace`] and the checkers ([`Logs`], [`Clients`]) know nothing of
//! what they simulate. [`raft`] is the first level: consensus cores with a driver, log and snapshots of
//! their own. [`cluster`] is the second: whole members, the server's own code, and their clients.
//! [`history`] judges what clients of a
//! key-value store saw, of simulated members and of real processes alike.
//!
//! # Running it
//! `cargo run --release -p varve-sim -- raft --seeds 0..100000`, or `cluster`. A failing seed prints the violation, a
//! shrunk plan and the end of its trace; `--seeds N` alone runs and explains one.
#![forbid(unsafe_code)]

mod bugs;
mod check;
pub mod cluster;
pub mod history;
mod net;
mod queue;
pub mod raft;
mod rng;
mod schedule;
mod shrink;
mod stats;
mod trace;

#[cfg(feature = "seeded-bugs")]
pub use bugs::Bug;
pub use bugs::Bugs;
pub use check::{Applied, Checked, Clients, EntryId, Logs, Property, Shadow, Violation};
pub use net::{Fate, Net, Weather};
pub use queue::Queue;
pub use rng::{Rng, draw};
pub use schedule::{Counted, Failure, Outcome, Schedule, explain, judge, run};
pub use shrink::shrink;
pub use trace::Trace;
