//! Integration tests of the log.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod archive;
mod golden;
mod support;
