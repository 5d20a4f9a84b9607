//! A copy-on-write B+tree in bbolt's file format, as a storage engine.
//!
//! [`BtreeEngine`] opens the `db` file of any etcd from 3.4 on and leaves a file that etcd opens. The
//! server puts it behind [`varve_backend::Backend`]; tools open it alone.
//!
//! ```
//! use std::sync::Arc;
//! use varve_backend::{Batch, Bucket, Engine};
//! use varve_backend_btree::{BtreeEngine, BtreeOptions};
//! use varve_vfs::SimFs;
//!
//! const KEY: Bucket = Bucket::new("key");
//! let fs = SimFs::new().shared();
//! let db = BtreeEngine::open(fs, "/db", BtreeOptions::default())?;
//! let mut batch = Batch::new();
//! batch.put(KEY, "revision".into(), "value".into());
//! db.commit(&batch)?;
//! assert_eq!(db.snapshot()?.get(KEY, b"revision")?.as_deref(), Some(&b"value"[..]));
//! assert!(db.check().is_sound());
//! # Ok::<(), varve_backend::Error>(())
//! ```
//!
//! # Layout
//! `docs/formats/btree.md` describes the file and what a crash at each step leaves;
//! [`varve_backend::bbolt`] holds its records. Errors are [`varve_backend::Error`]: the engine speaks the
//! contract's language and adds nothing of its own.
//!
//! # Not here
//! The write-behind batch and its thread: `varve-backend`.
mod check;
mod commit;
mod content;
mod cursor;
mod dump;
mod engine;
mod export;
mod freelist;
mod mmap;
mod open;
mod options;
mod out;
mod page;
mod persisted;
mod readers;
mod scan;
mod search;
mod snapshot;
mod source;
mod split;
mod walk;

pub use check::CheckReport;
pub use dump::{LeafValue, PageContent, PageDump, PageInfo, PageKind, TreePage};
pub use engine::BtreeEngine;
pub use options::{BtreeOptions, FreelistType};
pub use snapshot::{BtreeSnapshot, Element};
