//! `etcd-dump-db`: what stands in a member's database, a file in bbolt's format.
//!
//! Read-only, without locks, on a running member's file too. A commit never writes to the pages of the
//! commit before it, so what was read is what some commit left if that commit is still the newest when
//! reading is over; otherwise it is read again. Long listings are read in pieces, each from one commit.
//!
//! `list-bucket`, `iterate-bucket`, `scan-keys` and `hash` print what etcd's tool of that name prints;
//! `page` and `pages` what bbolt's do. The pages are read by `varve-backend-btree`.
use anyhow::Result;

use crate::console::Console;

mod args;
mod buckets;
mod check;
mod decode;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hash;
mod pages;
mod rows;
mod scan;
mod summary;

pub use args::Cli;
pub(crate) use file::DbFile;
pub(crate) use summary::Summary;

use args::Command;

/// Does what the command line asks; false when the file is damaged.
///
/// Errors: the command line makes no sense, the system refuses to read, or a running member changes the
/// file faster than it can be read.
pub fn run(cli: &Cli, console: &mut Console<'_>) -> Result<bool> {
    let watched = console.is_watched();
    let open = |path| DbFile::locate(path, cli.timeout, watched);
    match &cli.command {
        Command::ListBucket { path, json } => buckets::list(&open(path)?, *json, console),
        Command::IterateBucket(args) => buckets::iterate(&open(&args.path)?, args, console),
        Command::ScanKeys {
            path,
            start_revision,
        } => scan::run(&open(path)?, *start_revision, console),
        Command::Hash { path } => hash::all(&open(path)?, console),
        Command::HashKv { path, rev } => hash::kv(&open(path)?, *rev, console),
        Command::Info { path, json } => summary::run(&open(path)?, *json, console),
        Command::Check { path, json } => check::run(&open(path)?, *json, console),
        Command::Pages { path } => pages::list(&open(path)?, console),
        Command::Page { path, ids } => pages::show(&open(path)?, ids, console),
        Command::Tree { path, bucket } => pages::tree(&open(path)?, bucket.as_deref(), console),
    }
}
