//! Integration tests of the file-system seam.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod differential;
mod durable;
