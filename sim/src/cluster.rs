//! The second level: whole members, from a client's call to the bytes on the disk.
//!
//! A member is the server's own code (`varve_server::stepped`): raft over the write-ahead log and
//! snapshot files, the state machine over the store, the write-behind batch and the database file, all
//! on a simulated disk. The world moves its parts one at a time by virtual time, carries what members
//! send each other, and plays clients whose histories are judged in the end (`crate::history`).
//!
//! # What is held
//! While a plan runs: members that have applied an index have applied the same entry there and reached
//! the same revision and content; a database contains exactly what the index in it says, whenever one is
//! opened or taken over from a leader; terms and indexes do not go back; nobody stops unless his disk
//! failed. In the end: everybody agrees to the last byte that counts (HashKV, leases, members), leases
//! that nobody renews are gone, and the clients' histories are linearizable, their watches whole.

mod carry;
mod clients;
mod ledger;
mod plan;
mod report;
mod settings;
mod slot;
mod watches;
mod witness;
mod world;

pub use varve_server::stepped::Seeded;
#[cfg(feature = "seeded-bugs")]
pub use varve_server::stepped::SeededBug;

pub use plan::{Action, Op, Plan, Timed, Who};
pub use report::{Failure, Outcome, Stats, explain, run_seed};
pub use settings::Settings;

/// Slots for members; those beyond the first configuration may join.
pub const SLOTS: u64 = 8;

/// Milliseconds of virtual time in a tick, the interval of heartbeats.
pub const TICK: u64 = 100;
