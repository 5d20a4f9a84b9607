//! The flags this version honours, as clap reads them.
//!
//! Everything is optional here: whether a flag was given matters for defaults that depend on another
//! flag. Defaults and checks are in `build.rs`. Old names are aliases, so that a flag keeps one field.

use std::time::Duration;

use clap::{ArgAction, Parser};

use super::compat::CompatVersion;
use super::values::{parse_bool, parse_duration};

/// Raw values of the command line and the environment.
#[derive(Parser, Debug, Default)]
#[command(
    name = "varve",
    about = "An etcd-compatible replicated key-value store",
    long_about = "An etcd-compatible replicated key-value store.\n\nEvery flag is also read from the \
                  environment: ETCD_ and its name in upper case, dashes as underscores (ETCD_DATA_DIR). \
                  Giving a flag while its variable is present is an error, as in etcd. \
                  Flags may start with one dash or two.",
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 110,
    next_line_help = true
)]
pub(crate) struct Flags {
    /// Print the version and exit
    #[arg(long, action = ArgAction::SetTrue)]
    pub version: bool,

    /// Declare to be this etcd release: 3.5 or 3.6 (default 3.6)
    #[arg(long, value_name = "VERSION", value_parser = CompatVersion::from_flag, help_heading = "Member")]
    pub compat_version: Option<CompatVersion>,
    /// Storage engine: btree (etcd's own file format; the default)
    #[arg(long, value_name = "ENGINE", help_heading = "Member")]
    pub backend: Option<String>,

    /// Human-readable name of this member (default "default")
    #[arg(long, help_heading = "Member")]
    pub name: Option<String>,
    /// Data directory (default ${name}.etcd)
    #[arg(long, value_name = "DIR", help_heading = "Member")]
    pub data_dir: Option<String>,
    /// Separate directory for the write-ahead log (default: inside the data directory)
    #[arg(long, value_name = "DIR", help_heading = "Member")]
    pub wal_dir: Option<String>,
    /// Applied entries between raft snapshots (default 10000; 100000 with --compat-version 3.5)
    #[arg(long, value_name = "N", help_heading = "Member")]
    pub snapshot_count: Option<u64>,
    /// Entries kept in the log for slow followers after a snapshot (default 5000)
    #[arg(
        long,
        value_name = "N",
        alias = "experimental-snapshot-catchup-entries",
        help_heading = "Member"
    )]
    pub snapshot_catchup_entries: Option<u64>,
    /// Milliseconds between two heartbeats (default 100)
    #[arg(long, value_name = "MS", help_heading = "Member")]
    pub heartbeat_interval: Option<u64>,
    /// Milliseconds without a heartbeat until an election (default 1000)
    #[arg(long, value_name = "MS", help_heading = "Member")]
    pub election_timeout: Option<u64>,
    /// Advance the first election's ticks at start (default true)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Member")]
    pub initial_election_tick_advance: Option<bool>,
    /// URLs to listen on for peers (default http://localhost:2380)
    #[arg(long, value_name = "URLS", help_heading = "Member")]
    pub listen_peer_urls: Option<String>,
    /// URLs to listen on for clients (default http://localhost:2379)
    #[arg(long, value_name = "URLS", help_heading = "Member")]
    pub listen_client_urls: Option<String>,
    /// Time that a read on a connection between members may wait, at least 5s (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Member")]
    pub raft_read_timeout: Option<Duration>,
    /// The same for a write (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Member")]
    pub raft_write_timeout: Option<Duration>,
    /// WAL files kept, 0 = all (default 5)
    #[arg(long, value_name = "N", help_heading = "Member")]
    pub max_wals: Option<usize>,
    /// Snapshot files kept, 0 = all (default 5)
    #[arg(long, value_name = "N", help_heading = "Member")]
    pub max_snapshots: Option<usize>,
    /// Bytes the backend may take before writes are refused; 0 = 2 GiB, negative = no limit (default 0)
    #[arg(long, value_name = "BYTES", help_heading = "Member")]
    pub quota_backend_bytes: Option<i64>,
    /// In-memory shape of the btree engine's free page list: map or array (default map)
    #[arg(
        long,
        value_name = "TYPE",
        alias = "experimental-backend-bbolt-freelist-type",
        help_heading = "Member"
    )]
    pub backend_bbolt_freelist_type: Option<String>,
    /// Longest time until a backend commit; 0 = 100ms (default 0)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Member")]
    pub backend_batch_interval: Option<Duration>,
    /// Operations until a backend commit; 0 = 10000 (default 0)
    #[arg(long, value_name = "N", help_heading = "Member")]
    pub backend_batch_limit: Option<usize>,
    /// Operations allowed in a transaction (default 128)
    #[arg(long, value_name = "N", help_heading = "Member")]
    pub max_txn_ops: Option<usize>,
    /// Largest client request (default 1572864)
    #[arg(long, value_name = "BYTES", help_heading = "Member")]
    pub max_request_bytes: Option<usize>,
    /// Streams a client may open at once on a connection (default 4294967295)
    #[arg(
        long,
        value_name = "N",
        alias = "experimental-max-concurrent-streams",
        help_heading = "Member"
    )]
    pub max_concurrent_streams: Option<u32>,
    /// Idle time until the server pings a client, 0 = never (default 2h)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Member")]
    pub grpc_keepalive_interval: Option<Duration>,
    /// Time to wait for the answer to such a ping, 0 = no limit (default 20s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Member")]
    pub grpc_keepalive_timeout: Option<Duration>,
    /// Set SO_REUSEPORT on listeners (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Member")]
    pub socket_reuse_port: Option<bool>,
    /// Set SO_REUSEADDR on listeners (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Member")]
    pub socket_reuse_address: Option<bool>,

    /// Peer URLs told to the other members (default http://localhost:2380)
    #[arg(long, value_name = "URLS", help_heading = "Clustering")]
    pub initial_advertise_peer_urls: Option<String>,
    /// Members of a new cluster: name=url,name=url2,... (default ${name}=${initial-advertise-peer-urls})
    #[arg(long, value_name = "MEMBERS", help_heading = "Clustering")]
    pub initial_cluster: Option<String>,
    /// new or existing (default new)
    #[arg(long, value_name = "STATE", help_heading = "Clustering")]
    pub initial_cluster_state: Option<String>,
    /// Mixed into the ids of a new cluster and its members (default etcd-cluster)
    #[arg(long, value_name = "TOKEN", help_heading = "Clustering")]
    pub initial_cluster_token: Option<String>,
    /// Client URLs told to clients and members (default http://localhost:2379)
    #[arg(long, value_name = "URLS", help_heading = "Clustering")]
    pub advertise_client_urls: Option<String>,
    /// Refuse membership changes that would lose quorum (default true)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Clustering")]
    pub strict_reconfig_check: Option<bool>,
    /// Ask for votes before an election (default true)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Clustering")]
    pub pre_vote: Option<bool>,
    /// Learners the cluster may have (default 1)
    #[arg(
        long,
        value_name = "N",
        alias = "experimental-max-learners",
        help_heading = "Clustering"
    )]
    pub max_learners: Option<usize>,
    /// periodic or revision (default periodic)
    #[arg(long, value_name = "MODE", help_heading = "Clustering")]
    pub auto_compaction_mode: Option<String>,
    /// History kept by automatic compaction: a duration (hours without a unit) or a number of revisions; 0 = off (default 0)
    #[arg(long, value_name = "HISTORY", help_heading = "Clustering")]
    pub auto_compaction_retention: Option<String>,

    /// Certificate (PEM) shown to other members
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub peer_cert_file: Option<String>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub peer_key_file: Option<String>,
    /// Certificate (PEM) to dial other members with, if it is another
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub peer_client_cert_file: Option<String>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub peer_client_key_file: Option<String>,
    /// Demand a certificate of members that connect (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Security")]
    pub peer_client_cert_auth: Option<bool>,
    /// Authorities (PEM) that members' certificates must come from
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub peer_trusted_ca_file: Option<String>,
    /// Revoked certificates of members (PEM or DER)
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub peer_crl_file: Option<String>,
    /// Common names that members' certificates may have
    #[arg(long, value_name = "NAMES", help_heading = "Security")]
    pub peer_cert_allowed_cn: Option<String>,
    /// Host names of which members' certificates must have one
    #[arg(long, value_name = "NAMES", help_heading = "Security")]
    pub peer_cert_allowed_hostname: Option<String>,
    /// Do not compare the addresses in a member's certificate with where it connects from (default false)
    #[arg(long, value_name = "BOOL", alias = "experimental-peer-skip-client-san-verification", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Security")]
    pub peer_skip_client_san_verification: Option<bool>,

    /// debug, info, warn, error, panic or fatal (default info)
    #[arg(long, value_name = "LEVEL", help_heading = "Logging and metrics")]
    pub log_level: Option<String>,
    /// default, stderr, stdout or files, separated by commas (default: stderr)
    #[arg(long, value_name = "OUTPUTS", help_heading = "Logging and metrics")]
    pub log_outputs: Option<String>,
    /// json or console (default json)
    #[arg(long, value_name = "FORMAT", help_heading = "Logging and metrics")]
    pub log_format: Option<String>,
    /// zap: the shape of log lines (the only one)
    #[arg(long, value_name = "LOGGER", help_heading = "Logging and metrics")]
    pub logger: Option<String>,
    /// basic, or extensive to add latency histograms per RPC (default basic)
    #[arg(long, value_name = "SET", help_heading = "Logging and metrics")]
    pub metrics: Option<String>,
    /// Further URLs that serve /metrics and the health checks only
    #[arg(long, value_name = "URLS", help_heading = "Logging and metrics")]
    pub listen_metrics_urls: Option<String>,
    /// Unary requests that take longer are logged (default 300ms)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, alias = "experimental-warning-unary-request-duration", help_heading = "Logging and metrics")]
    pub warning_unary_request_duration: Option<Duration>,
    /// Applies that take longer are logged and counted (default 100ms)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, alias = "experimental-warning-apply-duration", help_heading = "Logging and metrics")]
    pub warning_apply_duration: Option<Duration>,

    /// Interval of progress answers on idle watches (default 10m)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, alias = "experimental-watch-progress-notify-interval", help_heading = "Behaviour")]
    pub watch_progress_notify_interval: Option<Duration>,
    /// Revisions removed per step of a compaction; 0 = 1000 (default 0)
    #[arg(
        long,
        value_name = "N",
        alias = "experimental-compaction-batch-limit",
        help_heading = "Behaviour"
    )]
    pub compaction_batch_limit: Option<usize>,
    /// Pause between two steps of a compaction; 0 = 10ms (default 0)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, alias = "experimental-compaction-sleep-interval", help_heading = "Behaviour")]
    pub compaction_sleep_interval: Option<Duration>,
    /// Features to switch, as Name=true,Name=false (InitialCorruptCheck, CompactHashCheck, LeaseCheckpoint, LeaseCheckpointPersist)
    #[arg(long, value_name = "GATES", help_heading = "Behaviour")]
    pub feature_gates: Option<String>,
    /// Compare this member's content with its peers' before serving (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub experimental_initial_corrupt_check: Option<bool>,
    /// Interval at which the leader compares the members' contents; 0 = never (default 0)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, alias = "experimental-corrupt-check-time", help_heading = "Behaviour")]
    pub corrupt_check_time: Option<Duration>,
    /// Let the leader compare the hashes that compactions leave (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub experimental_compact_hash_check_enabled: Option<bool>,
    /// Interval of that comparison (default 1m)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, alias = "experimental-compact-hash-check-time", help_heading = "Behaviour")]
    pub compact_hash_check_time: Option<Duration>,
    /// Let the leader tell the members how long leases have left (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub experimental_enable_lease_checkpoint: Option<bool>,
    /// Keep what it told across restarts (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub experimental_enable_lease_checkpoint_persist: Option<bool>,
    /// Origins allowed to read answers in a browser, * = any (default *)
    #[arg(long, value_name = "ORIGINS", help_heading = "Behaviour")]
    pub cors: Option<String>,
    /// Host names accepted in plain HTTP requests, * = any (default *)
    #[arg(long, value_name = "HOSTS", help_heading = "Behaviour")]
    pub host_whitelist: Option<String>,
    /// Make a cluster of this member alone out of its data directory (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Unsafe")]
    pub force_new_cluster: Option<bool>,
    /// Do not sync writes to disk. Data is lost when the machine stops (default false)
    #[arg(long, value_name = "BOOL", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Unsafe")]
    pub unsafe_no_fsync: Option<bool>,
}
