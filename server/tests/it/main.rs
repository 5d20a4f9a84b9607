//! Black-box tests of the server: the real binary, real sockets, real files.
//!
//! The binary is `varve`, or the one that `VARVE_TEST_BINARY` names: pointing it at an etcd 3.5.1
//! checks the tests themselves, since everything they ask of Varve holds for etcd too, save what
//! they mark as ours. Golden directories come from `VARVE_GOLDEN`, etcd 3.5.1 and its tools from
//! `VARVE_ETCD_DIR`; what needs them prints that it skipped when they are not set.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests and their helpers"
)]

mod across_tools;
mod bad_input;
mod client;
mod cluster;
mod crash;
mod etcdctl;
mod golden;
mod harness;
mod hash_exchange;
mod limits;
mod log_exchange;
mod opens;
mod services;
mod watch;
