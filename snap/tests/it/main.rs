//! Integration tests of the snapshot directory.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests, and their word when they skip"
)]

mod crash;
mod dir;
mod golden;
mod receive;
