//! Integration tests of the log.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests, and their word when they skip"
)]

mod archive;
mod golden;
mod support;
