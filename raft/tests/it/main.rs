//! Integration tests: etcd's conformance corpora, own scenarios in the same language, and properties.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod async_writes;
mod compat;
mod confchange_corpus;
mod datadriven;
mod diff;
mod elections;
mod figure_three;
mod flow;
mod hostile;
mod interaction;
mod membership;
mod network;
mod paper;
mod quorum_corpus;
mod readme;
mod reads;
mod simulation;
