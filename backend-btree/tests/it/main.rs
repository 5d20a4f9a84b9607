//! The engine from outside.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests outside #[test] functions"
)]
#![expect(clippy::print_stdout, reason = "tests that skip say why")]
mod ahead;
mod common;
mod concurrency;
mod conformance;
mod crafted;
mod crash;
mod damage;
mod dump;
mod golden;
mod model;
mod readers;
mod shape;
mod sidecar;
mod soak;
mod space;
mod write_behind;
