//! Tools around Varve and etcd, as a library so that they can be tested.
//!
//! Each binary in `src/bin` parses its command line with a type from here and calls one `run`.
//! The tools talk to a server over gRPC only; they work against any etcd.
//!
//! # Not here
//!
//! The dump tools, varvectl and varveutl: later parts of this crate.
#![forbid(unsafe_code)]

mod bench;
mod dump_wal;

pub use bench::{Cli as BenchCli, run as bench};
pub use dump_wal::{Cli as DumpWalCli, run as dump_wal};

// The examples of the README compile and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
