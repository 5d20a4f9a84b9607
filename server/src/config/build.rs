//! From raw flags to a checked [`Config`]: defaults, etcd's checks, its messages.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::argv::Warning;
use super::choices::{
    AutoCompaction, EngineKind, FreelistKind, LogFormat, LogLevel, LogOutput, MetricsLevel,
    cluster_is_new,
};
use super::error::ConfigError;
use super::features;
use super::flags::Flags;
use super::initial_cluster::InitialCluster;
use super::peer_tls;
use super::url::{Scheme, Url};
use super::{Access, Config};

const DEFAULT_NAME: &str = "default";
const DEFAULT_PEER_URL: &str = "http://localhost:2380";
const DEFAULT_CLIENT_URL: &str = "http://localhost:2379";
/// The least and the default time that reads and writes between members may wait.
const MIN_RAFT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ELECTION_MS: u64 = 50_000;
const DEFAULT_QUOTA_BYTES: i64 = 2 * 1024 * 1024 * 1024;
const WARN_QUOTA_BYTES: i64 = 8 * 1024 * 1024 * 1024;
const WARN_REQUEST_BYTES: usize = 10 * 1024 * 1024;

/// Applies defaults and checks. `default_host` is the address of the host's default route.
pub(crate) fn build(
    flags: Flags,
    default_host: Option<IpAddr>,
    warnings: &mut Vec<Warning>,
) -> Result<Config, ConfigError> {
    let (corruption, lease_checkpoints) = features::read(&flags)?;
    let peer_tls = peer_tls::read(&flags)?;
    let compat = flags.compat_version.unwrap_or_default();
    let name = flags.name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let data_dir = match flags.data_dir.filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(format!("{name}.etcd")),
    };

    let listen_given = flags.listen_client_urls.is_some();
    let advertise_given = flags.advertise_client_urls.is_some();
    let listen_peer_urls = urls("listen-peer-urls", flags.listen_peer_urls, DEFAULT_PEER_URL)?;
    let listen_client_urls = urls(
        "listen-client-urls",
        flags.listen_client_urls,
        DEFAULT_CLIENT_URL,
    )?;
    let listen_metrics_urls = urls("listen-metrics-urls", flags.listen_metrics_urls, "")?;
    let mut peer_urls = urls(
        "initial-advertise-peer-urls",
        flags.initial_advertise_peer_urls,
        DEFAULT_PEER_URL,
    )?;
    let mut client_urls = urls(
        "advertise-client-urls",
        flags.advertise_client_urls,
        DEFAULT_CLIENT_URL,
    )?;
    check_listen("--listen-peer-urls", &listen_peer_urls, true)?;
    peer_tls::check(&listen_peer_urls, peer_tls.as_ref())?;
    check_listen("--listen-client-urls", &listen_client_urls, false)?;
    check_listen("--listen-metrics-urls", &listen_metrics_urls, false)?;
    check_advertised("--initial-advertise-peer-urls", &peer_urls)?;
    check_advertised("--advertise-client-urls", &client_urls)?;
    if listen_given && !advertise_given {
        return Err(invalid(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ));
    }
    reachable_default(
        &mut peer_urls,
        &listen_peer_urls,
        DEFAULT_PEER_URL,
        default_host,
    );
    reachable_default(
        &mut client_urls,
        &listen_client_urls,
        DEFAULT_CLIENT_URL,
        default_host,
    );

    let initial_cluster = match flags.initial_cluster.filter(|text| !text.is_empty()) {
        Some(text) => InitialCluster::parse(&text)
            .map_err(|e| invalid(format!("invalid --initial-cluster: {e}")))?,
        None => InitialCluster::single(&name, &peer_urls),
    };

    let heartbeat_ms = flags.heartbeat_interval.unwrap_or(100);
    let election_ms = flags.election_timeout.unwrap_or(1000);
    check_timers(heartbeat_ms, election_ms)?;

    let quota = flags.quota_backend_bytes.unwrap_or(0);
    if quota > WARN_QUOTA_BYTES {
        warnings.push(Warning::Unwise(format!(
            "quota-backend-bytes {quota} is above the recommended maximum {WARN_QUOTA_BYTES}"
        )));
    }
    let max_request_bytes = flags.max_request_bytes.unwrap_or(1_572_864);
    if max_request_bytes > WARN_REQUEST_BYTES {
        warnings.push(Warning::Unwise(format!(
            "max-request-bytes {max_request_bytes} is above the recommended maximum {WARN_REQUEST_BYTES}"
        )));
    }

    Ok(Config {
        compat,
        engine: EngineKind::parse(flags.backend.as_deref().unwrap_or("btree"))?,
        name,
        data_dir,
        wal_dir: flags
            .wal_dir
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from),
        snapshot_count: flags
            .snapshot_count
            .unwrap_or_else(|| compat.default_snapshot_count()),
        snapshot_catchup_entries: flags.snapshot_catchup_entries.unwrap_or(5000),
        heartbeat_interval: Duration::from_millis(heartbeat_ms),
        election_timeout: Duration::from_millis(election_ms),
        initial_election_tick_advance: flags.initial_election_tick_advance.unwrap_or(true),
        peer_tls,
        raft_read_timeout: flags
            .raft_read_timeout
            .unwrap_or(MIN_RAFT_TIMEOUT)
            .max(MIN_RAFT_TIMEOUT),
        raft_write_timeout: flags
            .raft_write_timeout
            .unwrap_or(MIN_RAFT_TIMEOUT)
            .max(MIN_RAFT_TIMEOUT),
        listen_peer_urls,
        listen_client_urls,
        listen_metrics_urls,
        max_wals: flags.max_wals.unwrap_or(5),
        max_snapshots: flags.max_snapshots.unwrap_or(5),
        quota_backend_bytes: match quota {
            0 => Some(DEFAULT_QUOTA_BYTES),
            n if n < 0 => None,
            n => Some(n),
        },
        backend_freelist: FreelistKind::parse(
            flags
                .backend_bbolt_freelist_type
                .as_deref()
                .unwrap_or("map"),
        )?,
        backend_batch_interval: or_default(flags.backend_batch_interval, 100),
        backend_batch_limit: flags
            .backend_batch_limit
            .filter(|n| *n > 0)
            .unwrap_or(10_000),
        max_txn_ops: flags.max_txn_ops.unwrap_or(128),
        max_request_bytes,
        max_concurrent_streams: flags.max_concurrent_streams.unwrap_or(u32::MAX),
        grpc_keepalive_interval: nonzero(flags.grpc_keepalive_interval, 7200),
        grpc_keepalive_timeout: nonzero(flags.grpc_keepalive_timeout, 20),
        socket_reuse_port: flags.socket_reuse_port.unwrap_or(false),
        socket_reuse_address: flags.socket_reuse_address.unwrap_or(false),
        initial_advertise_peer_urls: peer_urls,
        advertise_client_urls: client_urls,
        initial_cluster,
        initial_cluster_is_new: cluster_is_new(
            flags.initial_cluster_state.as_deref().unwrap_or("new"),
        )?,
        initial_cluster_token: flags
            .initial_cluster_token
            .unwrap_or_else(|| "etcd-cluster".to_owned()),
        strict_reconfig_check: flags.strict_reconfig_check.unwrap_or(true),
        max_learners: flags.max_learners.unwrap_or(1),
        force_new_cluster: flags.force_new_cluster.unwrap_or(false),
        corruption,
        lease_checkpoints,
        pre_vote: flags.pre_vote.unwrap_or(true),
        auto_compaction: AutoCompaction::parse(
            flags.auto_compaction_mode.as_deref().unwrap_or("periodic"),
            flags.auto_compaction_retention.as_deref().unwrap_or("0"),
        )?,
        log_level: LogLevel::parse(flags.log_level.as_deref().unwrap_or("info"))?,
        log_outputs: LogOutput::parse_list(flags.log_outputs.as_deref().unwrap_or("default"))?,
        log_format: LogFormat::parse(flags.log_format.as_deref().unwrap_or("json"))?,
        metrics: {
            check_logger(flags.logger.as_deref())?;
            MetricsLevel::parse(flags.metrics.as_deref().unwrap_or("basic"))?
        },
        warning_unary_request_duration: flags
            .warning_unary_request_duration
            .unwrap_or(Duration::from_millis(300)),
        warning_apply_duration: flags
            .warning_apply_duration
            .unwrap_or(Duration::from_millis(100)),
        watch_progress_notify_interval: flags
            .watch_progress_notify_interval
            .unwrap_or(Duration::from_mins(10))
            .max(Duration::from_millis(100)),
        compaction_batch_limit: flags
            .compaction_batch_limit
            .filter(|n| *n > 0)
            .unwrap_or(1000),
        compaction_sleep_interval: or_default(flags.compaction_sleep_interval, 10),
        cors: Access::parse(flags.cors.as_deref().unwrap_or("*")),
        host_whitelist: Access::parse(flags.host_whitelist.as_deref().unwrap_or("*")),
        unsafe_no_fsync: flags.unsafe_no_fsync.unwrap_or(false),
    })
}

fn invalid(text: impl Into<String>) -> ConfigError {
    ConfigError::Invalid(text.into())
}

/// A list of URLs; a value that cannot be read is a malformed flag, as Go's flag package has it.
fn urls(flag: &str, given: Option<String>, default: &str) -> Result<Vec<Url>, ConfigError> {
    let text = given.as_deref().unwrap_or(default);
    let list = Url::parse_list(text)
        .map_err(|e| ConfigError::Usage(format!("invalid value {text:?} for flag -{flag}: {e}")))?;
    if list.is_empty() && !default.is_empty() {
        return Err(ConfigError::Usage(format!(
            "invalid value {text:?} for flag -{flag}: no valid URLs given"
        )));
    }
    Ok(list)
}

/// What we can listen on: TCP at an address of this machine; with TLS only for members.
fn check_listen(flag: &str, list: &[Url], tls: bool) -> Result<(), ConfigError> {
    for url in list {
        url.check_bind()
            .map_err(|e| invalid(format!("{flag}: {e}")))?;
        match url.scheme() {
            Scheme::Http => {}
            Scheme::Https if tls => {}
            Scheme::Https | Scheme::Unixs => {
                return Err(invalid(format!(
                    "{flag} {url}: TLS is not supported yet by this version of varve"
                )));
            }
            Scheme::Unix => {
                return Err(invalid(format!(
                    "{flag} {url}: unix sockets are not supported yet by this version of varve"
                )));
            }
        }
    }
    Ok(())
}

fn check_advertised(flag: &str, list: &[Url]) -> Result<(), ConfigError> {
    for url in list {
        if url.host().is_empty() {
            return Err(invalid(format!("{flag}: unexpected empty host ({url})")));
        }
    }
    Ok(())
}

/// Replaces the default advertise URL where the member listens on every address: nobody else could
/// reach `localhost`.
fn reachable_default(advertised: &mut [Url], listen: &[Url], default: &str, host: Option<IpAddr>) {
    let (Some(host), [one], Some(first)) = (host, &mut *advertised, listen.first()) else {
        return;
    };
    if one.to_string() == default && first.host() == "0.0.0.0" {
        *one = first.with_host(host);
    }
}

fn check_timers(heartbeat_ms: u64, election_ms: u64) -> Result<(), ConfigError> {
    if heartbeat_ms == 0 {
        return Err(invalid("--heartbeat-interval must be >0 (set to 0ms)"));
    }
    if election_ms == 0 {
        return Err(invalid("--election-timeout must be >0 (set to 0ms)"));
    }
    if heartbeat_ms.saturating_mul(5) > election_ms {
        return Err(invalid(format!(
            "--election-timeout[{election_ms}ms] should be at least as 5 times as \
             --heartbeat-interval[{heartbeat_ms}ms]"
        )));
    }
    if election_ms > MAX_ELECTION_MS {
        return Err(invalid(format!(
            "--election-timeout[{election_ms}ms] is too long, and should be set less than \
             {MAX_ELECTION_MS}ms"
        )));
    }
    Ok(())
}

fn check_logger(logger: Option<&str>) -> Result<(), ConfigError> {
    match logger {
        None | Some("zap") => Ok(()),
        Some(other) => Err(invalid(format!("unknown logger option {other:?}"))),
    }
}

/// Zero asks for the default.
fn or_default(given: Option<Duration>, default_ms: u64) -> Duration {
    given
        .filter(|d| !d.is_zero())
        .unwrap_or(Duration::from_millis(default_ms))
}

/// Zero switches the timer off.
fn nonzero(given: Option<Duration>, default_secs: u64) -> Option<Duration> {
    Some(given.unwrap_or(Duration::from_secs(default_secs))).filter(|d| !d.is_zero())
}
