//! What a member is told to be: flags and environment, as etcd's, checked and typed.
//!
//! Called once by `main` before anything is opened; everything else reads the resulting [`Config`].
//!
//! # Invariants
//! 1. Parsing is a function of its arguments: no process state, no file, no clock.
//! 2. Nothing accepted is ignored. A flag of etcd without an implementation is refused by name,
//!    unless its value asks for what this version does anyway.
//! 3. A parsed `Config` can be used as it is: defaults filled in, values checked together.

mod argv;
mod build;
mod choices;
mod compat;
mod environment;
mod error;
mod features;
mod flags;
mod initial_cluster;
mod known;
mod peer_tls;
mod url;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

pub use argv::Warning;
pub use choices::{
    AutoCompaction, EngineKind, FreelistKind, LogFormat, LogLevel, LogOutput, MetricsLevel,
};
pub use compat::CompatVersion;
pub use environment::Environment;
pub use error::ConfigError;
pub use features::{CorruptionChecks, LeaseCheckpoints};
pub use initial_cluster::InitialCluster;
pub use url::{Scheme, Url};

/// The configuration of one member. Field names are the flags'.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The etcd release this member declares to be.
    pub compat: CompatVersion,
    /// Storage engine (`--backend`).
    pub engine: EngineKind,
    /// Human-readable name.
    pub name: String,
    /// Directory that holds `member/`.
    pub data_dir: PathBuf,
    /// Directory of the log where it is not `data_dir/member/wal`.
    pub wal_dir: Option<PathBuf>,
    /// Applied entries between raft snapshots.
    pub snapshot_count: u64,
    /// Log entries kept behind a snapshot.
    pub snapshot_catchup_entries: u64,
    /// One raft tick.
    pub heartbeat_interval: Duration,
    /// Time without a leader until an election.
    pub election_timeout: Duration,
    /// Whether the first election needs no full timeout.
    pub initial_election_tick_advance: bool,
    /// Peer listeners.
    pub listen_peer_urls: Vec<Url>,
    /// Certificates and rules for connections between members; `None` without a certificate.
    pub peer_tls: Option<varve_raftnode::TlsFiles>,
    /// How long a read on a connection between members may wait.
    pub raft_read_timeout: Duration,
    /// The same for a write.
    pub raft_write_timeout: Duration,
    /// Client listeners.
    pub listen_client_urls: Vec<Url>,
    /// Extra listeners for metrics and health; may be empty.
    pub listen_metrics_urls: Vec<Url>,
    /// WAL files kept; 0 = all.
    pub max_wals: usize,
    /// Snapshot files kept; 0 = all.
    pub max_snapshots: usize,
    /// Backend limit in bytes; `None` = unlimited.
    pub quota_backend_bytes: Option<i64>,
    /// Shape of the btree engine's free list.
    pub backend_freelist: FreelistKind,
    /// Longest time until a backend commit.
    pub backend_batch_interval: Duration,
    /// Operations until a backend commit.
    pub backend_batch_limit: usize,
    /// Operations allowed in a transaction.
    pub max_txn_ops: usize,
    /// Largest proposal in bytes.
    pub max_request_bytes: usize,
    /// Concurrent streams per connection.
    pub max_concurrent_streams: u32,
    /// Idle time until a server ping; `None` = never.
    pub grpc_keepalive_interval: Option<Duration>,
    /// Wait for the answer to a ping; `None` = no limit.
    pub grpc_keepalive_timeout: Option<Duration>,
    /// `SO_REUSEPORT` on listeners.
    pub socket_reuse_port: bool,
    /// `SO_REUSEADDR` on listeners.
    pub socket_reuse_address: bool,
    /// Peer URLs of this member, sorted.
    pub initial_advertise_peer_urls: Vec<Url>,
    /// Client URLs of this member, sorted.
    pub advertise_client_urls: Vec<Url>,
    /// Members of a cluster to be created.
    pub initial_cluster: InitialCluster,
    /// Whether the cluster is created (`--initial-cluster-state new`) or joined.
    pub initial_cluster_is_new: bool,
    /// Mixed into ids.
    pub initial_cluster_token: String,
    /// Refuse membership changes that lose quorum.
    pub strict_reconfig_check: bool,
    /// Learners the cluster may have at once.
    pub max_learners: usize,
    /// Make a cluster of this member alone out of its data directory.
    pub force_new_cluster: bool,
    /// How the members' contents are compared.
    pub corruption: CorruptionChecks,
    /// Whether remaining times of leases are told to the members.
    pub lease_checkpoints: LeaseCheckpoints,
    /// Raft pre-vote.
    pub pre_vote: bool,
    /// Compaction without a request.
    pub auto_compaction: AutoCompaction,
    /// Least severe level logged.
    pub log_level: LogLevel,
    /// Where log lines go; never empty.
    pub log_outputs: Vec<LogOutput>,
    /// Shape of log lines.
    pub log_format: LogFormat,
    /// How much `/metrics` shows.
    pub metrics: MetricsLevel,
    /// Unary requests that take longer are logged.
    pub warning_unary_request_duration: Duration,
    /// Applies that take longer are logged and counted.
    pub warning_apply_duration: Duration,
    /// Interval of progress answers on idle watches.
    pub watch_progress_notify_interval: Duration,
    /// Revisions per step of a compaction.
    pub compaction_batch_limit: usize,
    /// Pause between two steps.
    pub compaction_sleep_interval: Duration,
    /// Origins browsers may come from.
    pub cors: Access,
    /// Host names accepted in plain HTTP requests.
    pub host_whitelist: Access,
    /// Skip syncs: data is lost with the machine.
    pub unsafe_no_fsync: bool,
}

/// A list of names, or everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// `*` or an empty list.
    Any,
    /// Exactly these names.
    Only(Vec<String>),
}

impl Access {
    fn parse(text: &str) -> Self {
        let names: Vec<String> = text
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
            .map(str::to_owned)
            .collect();
        if names.is_empty() || names.iter().any(|name| name == "*") {
            Self::Any
        } else {
            Self::Only(names)
        }
    }

    /// Whether `name` is allowed.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|allowed| allowed == name),
        }
    }
}

/// What a command line asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Parsed {
    /// Start a member.
    Run(Box<Run>),
    /// Print this to standard output and end with status 0.
    Print(String),
}

/// A member to start.
#[derive(Debug)]
pub struct Run {
    /// The checked configuration.
    pub config: Config,
    /// To be logged once logging is up.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads arguments (without the program's name) and the environment.
    ///
    /// # Errors
    /// [`ConfigError`]; its `exit_code` is what `main` ends with.
    pub fn parse(args: &[String], environment: &Environment) -> Result<Parsed, ConfigError> {
        let normalised = argv::normalise(args, &environment.variables)?;
        let command = flags::Flags::command().no_binary_name(true);
        let matches = command.clone().try_get_matches_from(&normalised.args);
        let flags = match matches.and_then(|m| flags::Flags::from_arg_matches(&m)) {
            Ok(flags) => flags,
            Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp) => {
                return Ok(Parsed::Print(e.to_string()));
            }
            Err(e) => return Err(ConfigError::Usage(e.to_string().trim_end().to_owned())),
        };
        if flags.version {
            return Ok(Parsed::Print(version_text(
                flags.compat_version.unwrap_or_default(),
            )));
        }
        let mut warnings = normalised.warnings;
        let config = build::build(flags, environment.default_host, &mut warnings)?;
        Ok(Parsed::Run(Box::new(Run { config, warnings })))
    }

    /// Raft ticks of the election timeout.
    pub fn election_ticks(&self) -> usize {
        let ticks = self.election_timeout.as_millis() / self.heartbeat_interval.as_millis().max(1);
        usize::try_from(ticks).unwrap_or(usize::MAX)
    }

    /// How long a proposal or a read index may take: 5 s and two election timeouts.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    /// [`Self::quota_backend_bytes`] as a size.
    pub fn quota_bytes(&self) -> Option<u64> {
        self.quota_backend_bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
    }
}

/// What `--version` prints: etcd's lines, and ours first.
fn version_text(compat: CompatVersion) -> String {
    format!(
        "varve Version: {}\netcd Version: {}\nCluster Version: {}\nOS/Arch: {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        compat.server_version(),
        compat.cluster_version(),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

#[cfg(test)]
mod tests;
