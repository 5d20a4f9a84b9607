//! The command line of `etcd-dump-db`.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::bench::duration;

const EXAMPLES: &str = "\
Examples:
  etcd-dump-db info /var/lib/etcd                      sizes, buckets, revisions, consistent index
  etcd-dump-db iterate-bucket --decode --limit 10 /var/lib/etcd key
  etcd-dump-db iterate-bucket --decode --json snapshot.db lease | jq .ttl
  etcd-dump-db hash-kv --rev 1234 /var/lib/etcd        as etcdctl endpoint hashkv, without the server
  etcd-dump-db check /backup/member/snap/db            exit 1, file and offset, if it is damaged
  etcd-dump-db scan-keys damaged.db 0                  rows from every page that can be read

A path is a data directory, a snapshot directory or a file (db, .snap.db, or one that snapshot save wrote).
Nothing is written or locked: the member may be running.
Exit code: 0, 1 when the file is damaged or cannot be read, 2 for a wrong command line.";

/// Prints what stands in the database of an etcd or Varve member.
#[derive(Debug, Parser)]
#[command(name = "etcd-dump-db", version, after_help = EXAMPLES)]
pub struct Cli {
    /// How long to try again when a running member changes the file while it is read; 0 for ever
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(super) timeout: Duration,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to print.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Names of all buckets
    ListBucket {
        /// Data directory or file
        path: PathBuf,
        /// One JSON object a bucket, with its counts
        #[arg(long)]
        json: bool,
    },
    /// Keys and values of a bucket, last first
    IterateBucket(Iterate),
    /// Rows of the key space from a revision on, from every page that can be read: also stale ones, also
    /// of a file that is damaged
    ScanKeys {
        /// Data directory or file
        path: PathBuf,
        /// First revision to show; 0 for all
        start_revision: i64,
    },
    /// Hash of all buckets, as etcd's Hash request gives
    Hash {
        /// Data directory or file
        path: PathBuf,
    },
    /// Hash of the key space at a revision, as etcd's HashKV request gives
    HashKv {
        /// Data directory or file
        path: PathBuf,
        /// Revision to hash at; 0 for the newest
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        rev: i64,
    },
    /// Sizes, buckets, revisions, consistent index
    Info {
        /// Data directory or file
        path: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check metas, pages, trees, free pages and rows; exit 1 with file and offset of each fault
    Check {
        /// Data directory or file
        path: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// A line for each page, as bbolt pages prints
    Pages {
        /// Data directory or file
        path: PathBuf,
    },
    /// Content of pages, as bbolt page prints
    Page {
        /// Data directory or file
        path: PathBuf,
        /// Numbers of the pages
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
    },
    /// The pages of each bucket, as they hang together
    Tree {
        /// Data directory or file
        path: PathBuf,
        /// Only this bucket
        bucket: Option<String>,
    },
}

/// What to show of a bucket.
#[derive(Args, Debug)]
pub(super) struct Iterate {
    /// Data directory or file
    pub(super) path: PathBuf,
    /// Name of the bucket
    pub(super) bucket: String,
    /// Number of pairs to show at most; 0 for all
    #[arg(long, default_value_t = 0)]
    pub(super) limit: u64,
    /// Decode what etcd keeps in its buckets
    #[arg(long)]
    pub(super) decode: bool,
    /// One JSON object a pair
    #[arg(long)]
    pub(super) json: bool,
}
