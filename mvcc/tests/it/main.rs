//! The store through its public surface.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of tests"
)]
#![expect(clippy::print_stdout, reason = "tests that skip say why")]

mod bad_input;
mod compaction_hashes;
mod crash;
mod embedding;
mod etcd_model;
mod golden;
mod model;
mod watch;
mod watch_crowd;
mod watch_model;

mod kv;
mod leases;
mod restore;

mod support;
mod threads;
