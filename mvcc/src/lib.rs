//! Revisions, key index, transactions, compaction, hashes, watch and leases over any backend.
//!
//! A [`Store`] keeps every version of every key until a compaction forgets the old ones. It is
//! synchronous and stands alone: a dozen lines open it over an engine, put, read at a revision, watch
//! and compact (`examples/embed.rs`). In a server, the apply thread writes, any thread reads, and a
//! thread of its own compacts and serves watchers that are behind.
//!
//! What is stored is what etcd stores, byte for byte (docs/formats/mvcc-keys.md): the value under a
//! revision is the encoded `mvccpb.KeyValue` that responses and events carry, so reads hand out stored
//! bytes and never rebuild them.
//!
//! # Consistency and durability
//!
//! One transaction writes at a time. [`WriteTxn::end`] shows it to readers and watchers at once; a
//! [`ReadView`] shows one revision and stays as it is whatever happens meanwhile. The backend commits
//! behind, whole transactions in order: after a crash the store is as some transaction left it. With
//! [`WriteTxn::end_durable`] the writer waits for that commit; a server does not, its raft log holds
//! what is not yet committed and [`WriteTxn::set_applied`] says from where to apply it again.
//!
//! # Not here
//!
//! Raft, requests and their validation, authentication, timers: the server's.
#![forbid(unsafe_code)]

mod background;
mod clock;
mod compact;
mod core;
mod error;
mod hash;
mod index;
mod key_history;
mod lease;
mod measure;
mod options;
mod range;
mod read;
mod record;
mod restore;
mod revision;
/// Buckets, keys of bucket `meta`, and typed access to its numbers.
pub mod schema;
mod signal;
mod stats;
mod store;
mod watch;
mod write;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, Result};
pub use hash::HashKv;
pub use lease::{Lease, LeaseCheckpoint, LeaseCounts, LeaseInfo, Lessor, MAX_LEASE_TTL_SECONDS};
#[doc(hidden)]
pub use measure::{IndexAlone, IndexSnapshot};
pub use options::{CompactionStep, Durability, Publish, StoreOptions, WatchLimits};
pub use range::{Located, RangeOptions, RangeResult, SortOrder, SortTarget, prefix_end};
pub use read::ReadView;
pub use revision::{Revision, RowKey};
pub use stats::Stats;
pub use store::{Store, StoreExport};
pub use watch::{ALL_WATCHERS, WatchError, WatchItem, WatchOptions, WatchStream};
pub use write::WriteTxn;
