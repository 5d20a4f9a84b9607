//! The write-ahead log of a raft member, in etcd's format.
//!
//! A log is a directory of segments, `<sequence>-<index>.wal`, holding framed records that one
//! CRC-32C chains from the first segment to the last. [`Wal::open`] gives a [`Reader`]; only
//! [`Reader::read_all`] turns it into an [`Appender`], so nothing can be appended to a log that was
//! not read to its end. The raft driver owns the appender on its log thread; tools use [`ReadOnly`],
//! which neither writes nor locks.
//!
//! # Invariants
//! 1. What [`Appender::save`] reported with `synced` is in every later replay (`tests/it/crash.rs`).
//! 2. A replay gives a prefix of what was saved, cut only where a write may have been torn by a crash;
//!    anything else that is damaged is an error naming file and offset (`tests/it/corruption.rs`).
//! 3. After a failed write or sync an appender refuses everything (`tests/it/faults.rs`).
//!
//! # Not here
//! The bytes, the analysis of crashes and the history of the format: `docs/formats/wal.md`.
#![forbid(unsafe_code)]

mod appender;
mod check;
mod create;
mod dir;
mod encode;
mod error;
mod format;
mod name;
mod options;
mod parse;
mod pipeline;
mod purge;
mod read_only;
mod reader;
mod records;
mod repair;
mod replay;
mod scan;
mod wal;

pub use appender::{Appender, SaveStats, SyncObserver};
pub use error::{Error, Result};
pub use format::RecordKind;
pub use name::SegmentName;
pub use options::WalOptions;
pub use purge::purge;
pub use read_only::ReadOnly;
pub use reader::Reader;
pub use records::{Record, Records};
pub use replay::Replay;
pub use wal::Wal;
