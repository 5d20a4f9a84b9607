//! Snapshots of a raft member's state machine on disk, as etcd keeps them.
//!
//! A directory holds `<term>-<index>.snap` files, each one `raftpb.Snapshot` under a checksum, and
//! `<index>.snap.db` files, databases received from a leader that have not yet replaced the member's
//! own. The raft driver saves and loads them; the server's snapshot receiver writes the databases.
//!
//! # Invariants
//! 1. A snapshot [`Snapshotter::save`] has returned is found whole after any crash.
//! 2. Bytes that are not a snapshot are never loaded: the file is set aside as `.broken`.
//!
//! # Not here
//! The record of a snapshot in the log (crate `varve-wal`), which decides which of these files a start
//! may use; the content of a snapshot's data, which belongs to the state machine. The bytes and their
//! history: `docs/formats/snapshot.md`.
#![forbid(unsafe_code)]

mod dir;
mod error;
mod format;
mod name;
mod receive;
mod snapshotter;

pub use error::{Error, Result};
pub use format::{decode, encode};
pub use name::SnapName;
pub use receive::DbReceiver;
pub use snapshotter::Snapshotter;
