//! The command line of `etcd-dump-snap`.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use crate::console::double_dash;

const EXAMPLES: &str = "\
Examples:
  etcd-dump-snap /var/lib/etcd                         every snapshot of a member
  etcd-dump-snap --v2-store 0000000000000002-0000000000000037.snap
  etcd-dump-snap --json /var/lib/etcd | jq .members
  etcd-dump-snap --verify /backup/member/snap          exit 1 if a file is damaged

Nothing is written, locked or renamed: the member may be running.
Exit code: 0, 1 when a file is damaged or cannot be read, 2 for a wrong command line.";

/// Prints what stands in the raft snapshots of an etcd or Varve member.
#[derive(Debug, Parser)]
#[command(name = "etcd-dump-snap", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Data directories, snapshot directories, or .snap and .snap.db files
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,

    /// Directory of the log, to tell which snapshots it knows [default: member/wal beside member/snap]
    #[arg(long, value_name = "DIR")]
    pub(super) wal_dir: Option<PathBuf>,

    /// Print the tree of the v2 store as well
    #[arg(long)]
    pub(super) v2_store: bool,

    /// One JSON object a file
    #[arg(long)]
    pub(super) json: bool,

    /// One line a file, exit 1 when one is damaged
    #[arg(long, conflicts_with = "v2_store")]
    pub(super) verify: bool,
}

impl Cli {
    /// Parses a command line, long options also with one dash, as Go programs take them.
    ///
    /// Errors are clap's, help included.
    pub fn parse_go_style(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args.into_iter().map(double_dash))
    }
}
