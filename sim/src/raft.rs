//! The first level: consensus cores over simulated disks, driven as a server would drive them.
//!
//! A seed gives a [`Plan`]: the settings of a cluster, and what happens to it when. [`run`](crate::run) carries the
//! plan out; a plan that fails can be shrunk. A level of whole members takes the queue, the network, the
//! checkers and the shrinker from this crate and brings its own plan and world.

mod member;
mod plan;
mod report;
mod settings;
mod store;
mod world;

pub use plan::{Action, Plan, StoreKind, Timed, Who};
pub use report::{Failure, Outcome, Stats, explain, run_seed};
pub use settings::{Mode, Settings};

/// Members in every cluster, whether or not they are in its first configuration.
pub const MEMBERS: u64 = 5;

/// Units of virtual time in a tick of a member whose clock is right.
pub const TICK: u64 = 100;
