//! Clusters of several members: of the server under test, of real etcds, and of both.
//!
//! etcd 3.5.1 and its tools come from `VARVE_ETCD_DIR`, a newer etcd from `VARVE_ETCD36`.
//! Long forms of these tests run when `VARVE_CLUSTER_LONG` is set.

mod bootstrap;
mod changes;
mod failover;
mod faults;
mod group;
mod load;
mod mixed;
#[path = "../../../raftnode/tests/it/peer/proxy.rs"]
mod proxy;
mod replicated;
mod snapshots;
mod tls;

/// Whether the long forms run.
fn long() -> bool {
    std::env::var_os("VARVE_CLUSTER_LONG").is_some()
}
