//! The Raft consensus algorithm as a state machine without I/O, clock or randomness, with the
//! behaviour and the messages of etcd's raft 3.7.
//!
//! A [`RawNode`] takes ticks, proposals and messages, and hands out a [`Ready`]: entries to save,
//! messages to send, entries to apply. Its driver (crate `raftnode` in the server) does that work and
//! reports back. Nothing in here blocks, logs on its own, or depends on the order of a hash table:
//! equal inputs give equal outputs, byte for byte.
//!
//! ```
//! use bytes::Bytes;
//! use varve_raft::{Config, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, MemoryStorage, RawNode};
//!
//! # fn main() -> Result<(), varve_raft::Error> {
//! let storage = MemoryStorage::with_voters(&[1]);
//! let config = Config { async_storage_writes: true, ..Config::new(1) };
//! let mut node = RawNode::new(config, storage.clone())?;
//! node.campaign()?;
//!
//! let mut applied = Vec::new();
//! let mut proposed = false;
//! while node.has_ready() {
//!     // A server hands these messages to threads and a network; here their work is done on the spot.
//!     for message in node.ready().messages {
//!         match message.to {
//!             LOCAL_APPEND_THREAD => storage.append(&message.entries)?,
//!             LOCAL_APPLY_THREAD => applied.extend(message.entries.iter().cloned()),
//!             _ => unreachable!("there is nobody else"),
//!         }
//!         // Saved, or applied: what waited for that may be said now.
//!         for response in message.responses {
//!             node.step(response)?;
//!         }
//!     }
//!     if !proposed && node.basic_status().lead == 1 {
//!         node.propose(Bytes::from_static(b"hello"))?;
//!         proposed = true;
//!     }
//! }
//! assert_eq!(applied.last().and_then(|entry| entry.data.clone()), Some(Bytes::from_static(b"hello")));
//! # Ok(())
//! # }
//! ```
//!
//! # Compatibility
//! Messages and log entries are etcd's, of all versions since 3.4; what older and newer ones encode
//! differently is accepted both ways. Log lines and the text of [`describe`] are etcd's too, which the
//! conformance corpora check. Where behaviour differs on purpose, the item's documentation says so:
//! malformed input is an [`Error`] and no panic, reads wait for a first commit of the term on a single
//! voter too, a candidate leads only once its own vote is durable, and a leader that was removed does
//! not answer reads alone. The README lists these, and which test holds what.
//!
//! # Not here
//! Disks, networks, clocks, membership lists: `raftnode`.
#![forbid(unsafe_code)]

mod buffers;
mod confchange;
mod config;
pub mod describe;
mod entry;
mod error;
mod ids;
mod jitter;
mod log;
mod logger;
mod message;
mod node;
mod quorum;
mod raft;
mod read_index;
mod ready;
mod role;
mod status;
mod storage;
mod tracker;

pub use confchange::{Change, Changer, ConfChangeError, ConfChangeExt, parse_conf_changes};
#[cfg(feature = "seeded-bugs")]
pub use config::SeededBug;
pub use config::{Config, ReadOnlyOption};
pub use error::Error;
pub use ids::{Index, NodeId, Term};
pub use jitter::{Jitter, SeededJitter};
pub use logger::{Level, Logger, NoLogger};
pub use message::{
    LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, NONE, is_empty_hard_state, is_empty_snapshot,
    is_local_message, is_local_target, is_response_message, kind_of,
};
pub use node::{Peer, RawNode, SnapshotStatus};
pub use quorum::{JointConfig, MajorityConfig, NodeSet, VoteResult};
pub use read_index::ReadState;
pub use ready::{Ready, SoftState};
pub use role::StateRole;
pub use status::{BasicStatus, Status};
pub use storage::{MemoryStorage, Storage, StorageError, StorageResult};
pub use tracker::{
    Configuration, InflightLimits, Inflights, Progress, ProgressMap, ProgressState, Tracker,
};
