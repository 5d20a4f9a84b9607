//! The file-system seam of Varve.
mod fs;
pub use fs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions, parent_dir};
