//! Clusters of several members: of the server under test, of real etcds, and of both.
//!
//! Long forms of these tests run when `VARVE_CLUSTER_LONG` is set.

mod bootstrap;
mod changes;
mod failover;
mod group;
mod load;
mod mixed;
mod replicated;
mod snapshots;

/// Whether the long forms run.
fn long() -> bool {
    std::env::var_os("VARVE_CLUSTER_LONG").is_some()
}
