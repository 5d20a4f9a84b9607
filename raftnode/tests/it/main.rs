//! Integration tests of a member: the real threads over real and simulated disks.
//!
//! `counter`: the state machine and observer the tests use. `single`: one member, restarts, snapshots.
//! `cluster`: groups of members. `crash`: nothing acknowledged is lost wherever the disk stops.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up should stop"
)]

mod cluster;
mod counter;
mod crash;
mod peer;
mod single;
