//! Properties of the backend as its users see it.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests outside #[test] functions"
)]
#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "conformance")]
mod log_engine;
mod retired;
mod views;
