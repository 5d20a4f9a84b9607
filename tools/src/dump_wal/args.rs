//! The command line of `etcd-dump-wal`.
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use crate::console::double_dash;

const EXAMPLES: &str = "\
Examples:
  etcd-dump-wal /var/lib/etcd                          everything after the newest snapshot
  etcd-dump-wal --start-index 1 --entry-type IRRPut /var/lib/etcd
  etcd-dump-wal --key-prefix /registry/pods/ --json /var/lib/etcd | jq .request
  etcd-dump-wal --request-type lease_grant,lease_revoke /var/lib/etcd
  etcd-dump-wal --stat /var/lib/etcd                   who fills the log
  etcd-dump-wal --verify --wal-dir /backup/member/wal  exit 1, file and offset, if it is damaged
  etcd-dump-wal --raw /var/lib/etcd                    every record, also those a start passes over

Nothing is written or locked: the member may be running.
Exit code: 0, 1 when the log is damaged or cannot be read, 2 for a wrong command line.";

/// Prints what stands in the write-ahead log of an etcd or Varve member.
#[derive(Debug, Parser)]
#[command(name = "etcd-dump-wal", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Data directory of the member; the log is in member/wal below it
    #[arg(value_name = "DATA_DIR", required_unless_present = "wal_dir")]
    pub(super) data_dir: Option<PathBuf>,

    /// Directory of the log, when it is not below the data directory
    #[arg(long, value_name = "DIR")]
    wal_dir: Option<PathBuf>,

    /// First index to show, itself included (etcd-dump-logs of 3.5 and 3.6 begins one later) [default: the
    /// one after the newest snapshot]
    #[arg(long, value_name = "INDEX")]
    pub(super) start_index: Option<u64>,

    /// Index to stop before, itself left out
    #[arg(long, value_name = "INDEX")]
    pub(super) end_index: Option<u64>,

    /// Name of the .snap file to start from [default: the newest the log knows]
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "start_index",
        requires = "data_dir"
    )]
    pub(super) start_snap: Option<String>,

    /// Types of entries to show, separated by commas: ConfigChange, Normal, Request,
    /// InternalRaftRequest, IRRRange, IRRPut, IRRDeleteRange, IRRTxn, IRRCompaction, IRRLeaseGrant,
    /// IRRLeaseRevoke, IRRLeaseCheckpoint
    #[arg(long, value_name = "TYPES", default_value = "Normal,ConfigChange")]
    pub(super) entry_type: String,

    /// Requests to show, separated by commas: the field's name in InternalRaftRequest (put, txn,
    /// lease_grant, auth_enable, ...), or v2, empty, conf_change, conf_change_v2, unknown
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub(super) request_type: Vec<String>,

    /// Show only requests that touch keys beginning with this
    #[arg(long, value_name = "PREFIX")]
    pub(super) key_prefix: Option<String>,

    /// Command that decodes entries: gets each as a line of hex, answers with a line STATUS|TEXT
    #[arg(long, value_name = "COMMAND", conflicts_with = "json")]
    pub(super) stream_decoder: Option<String>,

    /// Add the member to each conf change
    #[arg(long, conflicts_with_all = ["raw", "json", "stat", "verify"])]
    pub(super) members: bool,

    /// Every record of the log as it is, also those that later ones override
    #[arg(long, conflicts_with_all = ["start_snap", "stream_decoder", "entry_type", "request_type", "key_prefix"])]
    raw: bool,

    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,

    /// Count entries and bytes by request, and how segments are used
    #[arg(long, conflicts_with_all = ["raw", "stream_decoder"])]
    stat: bool,

    /// Check checksums, order of indexes and terms; exit 1 with file and offset when something is wrong
    #[arg(long, conflicts_with_all = ["raw", "stat", "stream_decoder", "start_index", "end_index",
        "start_snap", "entry_type", "request_type", "key_prefix"])]
    verify: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    Json,
    Raw,
    Stat,
    Verify,
}

impl Cli {
    /// Parses a command line, long options also with one dash, as Go programs take them.
    ///
    /// Errors are clap's, help included.
    pub fn parse_go_style(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args.into_iter().map(double_dash))
    }

    pub(super) fn wal_dir(&self) -> PathBuf {
        let below = || self.data_dir.clone().unwrap_or_default().join("member/wal");
        self.wal_dir.clone().unwrap_or_else(below)
    }

    pub(super) fn mode(&self) -> Mode {
        if self.raw {
            Mode::Raw
        } else if self.verify {
            Mode::Verify
        } else if self.stat {
            Mode::Stat
        } else if self.json {
            Mode::Json
        } else {
            Mode::List
        }
    }
}

#[cfg(test)]
mod tests;
