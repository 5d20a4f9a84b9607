//! Clusters of several members: of the server under test, of real etcds, and of both.
//!
//! etcd 3.5.1 and its tools come from `VARVE_ETCD_DIR`, a newer etcd from `VARVE_ETCD36`.
//! Long forms of these tests run when `VARVE_CLUSTER_LONG` is set: more rounds of the same, minutes each.
//! What clients saw is judged by `varve_sim::history` after every scenario under [`traffic`]; with
//! `--nocapture` each says what its history was made of.

mod bootstrap;
mod catch_up;
mod changes;
mod disturbed;
mod failover;
mod faults;
mod group;
mod load;
mod mixed;
mod processes;
#[path = "../../../raftnode/tests/it/peer/proxy.rs"]
mod proxy;
mod refusals;
mod replicated;
mod slow_disk;
mod snapshots;
mod throttle;
mod tls;
mod traffic;

/// Whether the long forms run.
fn long() -> bool {
    std::env::var_os("VARVE_CLUSTER_LONG").is_some()
}
