//! Integration tests of `varve-proto`, one module per group of properties.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod golden;
mod tolerance;
