//! Integration tests of the log.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests, and their word when they skip"
)]

mod append;
mod archive;
mod corruption;
mod crash;
mod faults;
mod golden;
mod life;
mod long;
mod real;
mod segments;
mod support;
mod vanishing;
