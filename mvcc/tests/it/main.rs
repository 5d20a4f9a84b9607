//! The store through its public surface.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of tests"
)]

mod compaction_hashes;
mod etcd_model;
mod model;
mod watch;
mod watch_model;

mod kv;
mod leases;

mod support;
mod threads;
