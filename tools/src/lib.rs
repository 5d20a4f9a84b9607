//! Tools around Varve and etcd, as a library so that they can be tested.
//!
//! Each binary in `src/bin` parses its command line with a type from here and calls one `run`.
//! `varve-bench` talks to a server over gRPC only and works against any etcd; the dump tools read a
//! member's data directory, of etcd or of Varve, and never change it.
//!
//! # Not here
//!
//! varvectl and varveutl: later parts of this crate.
#![forbid(unsafe_code)]

mod bench;
mod console;
mod dump_db;
mod dump_snap;
mod dump_wal;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod go_text;
mod look_fs;

pub use bench::{Cli as BenchCli, run as bench};
pub use console::{Console, run_tool};
pub use dump_db::{Cli as DumpDbCli, run as dump_db};
pub use dump_snap::{Cli as DumpSnapCli, run as dump_snap};
pub use dump_wal::{Cli as DumpWalCli, run as dump_wal};

// The examples of the README compile and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
