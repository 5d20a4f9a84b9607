//! x
#![forbid(unsafe_code)]
#![allow(dead_code)]
mod clock;
mod error;
mod index;
mod key_history;
mod options;
mod record;
mod revision;
mod schema;
pub use error::{Error, Result};
pub use revision::{Revision, RowKey};
