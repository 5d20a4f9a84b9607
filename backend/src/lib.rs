//! What a storage engine is, an in-memory model of one, and the write-behind batch every engine shares.
//!
//! Engines (`backend-btree`, `backend-lsm`) implement [`Engine`]; `mvcc` writes through a [`Guard`] of
//! [`Backend`] and reads through a [`View`]. Nothing here touches a file.
//!
//! # The contract of an engine
//!  1. **Atomic.** After `commit` returned `Ok`, a new snapshot shows all operations of the batch; after
//!     a crash the store is as some commit left it, never between two.
//!  2. **Durable.** What `commit` acknowledged survives the loss of power.
//!  3. **Isolated.** A snapshot shows exactly the newest commit at the time it was taken, for as long as
//!     it lives, whatever is committed meanwhile.
//!  4. **Readers never wait.** Taking a snapshot and reading from it do not wait for a running commit.
//!  5. **Ordered.** A scan yields each key of its range once, ascending bytewise or descending.
//!  6. **Missing is empty.** Reading a bucket that does not exist finds nothing and is no error.
//!  7. **Implicit buckets.** A put creates its bucket; a delete creates none. An empty bucket exists
//!     until it is deleted.
//!  8. **Batch order.** Within a batch the last operation on a key wins; deleting a bucket takes effect
//!     before the operations that were added after it.
//!  9. **Limits.** Names and keys have 1 to [`MAX_KEY_LEN`] bytes, values up to [`MAX_VALUE_LEN`]. A
//!     batch outside of them is refused whole, and the engine stays usable.
//! 10. **Sticky failure.** After a commit failed in any other way, all later commits are refused.
//! 11. **Values outlive.** Bytes read stay unchanged after the snapshot and the engine are dropped.
//! 12. **Export.** The image has exactly the announced length and shows one commit.
//! 13. **Reclaim.** Giving space back changes no content and never makes the store larger.
//!
//! Feature `conformance` holds a test for each of them.
#![forbid(unsafe_code)]
mod batch;
pub mod bbolt;
mod bucket;
#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod error;
mod image;
mod memory;
mod ordered;
mod range;
mod write_behind;

pub use batch::{Batch, Op};
pub use bucket::Bucket;
pub use engine::{Engine, Export, MAX_KEY_LEN, MAX_VALUE_LEN, Reclaimed, Scan, Sizes, Snapshot};
pub use error::{Error, ErrorKind, Result};
pub use image::ImageExport;
pub use memory::MemoryEngine;
pub use range::{Direction, KeyRange};
pub use write_behind::{
    Backend, BackendOptions, CommitCounts, CommitStats, Guard, OnCommit, OnFailure, View, ViewScan,
};
