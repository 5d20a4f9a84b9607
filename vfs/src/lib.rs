//! The file-system seam of Varve: every byte on disk goes through [`Fs`] and [`File`].
//!
//! [`RealFs`] is the operating system. With feature `sim`, `SimFs` is a disk in memory that keeps a
//! journal of what was not synced, so that tests can draw the images a power cut could leave, and
//! that fails or tears the n-th operation on request. [`Hooked`] puts code of a caller in front of the
//! operations of another file system. `docs/formats/vfs.md` states what both assume
//! of real media.
//!
//! `wal`, `snap`, `backend-btree` and the server's start-up call this crate; it uses none of ours.
#![forbid(unsafe_code)]

pub mod durable;
mod fs;
mod hooked;
mod real;
#[cfg(feature = "sim")]
mod sim;

pub use fs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions, parent_dir};
pub use hooked::{FileHooks, FsHooks, Hooked};
pub use real::RealFs;
#[cfg(feature = "sim")]
pub use sim::{CrashRule, Fault, Latency, OpCounts, SECTOR_BYTES, SimFs};
