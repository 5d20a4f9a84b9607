//! Values that are one of a few words.

use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::values::parse_duration;

fn invalid(text: String) -> ConfigError {
    ConfigError::Invalid(text)
}

/// The storage engine under the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineKind {
    /// The copy-on-write B+tree in etcd's own file format.
    Btree,
}

impl EngineKind {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "btree" => Ok(Self::Btree),
            "lsm" => Err(ConfigError::NotSupportedYet {
                flag: "backend lsm".to_owned(),
            }),
            other => Err(invalid(format!(
                "unknown --backend {other:?}: expected btree"
            ))),
        }
    }
}

/// In-memory shape of the btree engine's list of free pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FreelistKind {
    /// Runs found by size.
    Map,
    /// One sorted list.
    Array,
}

impl FreelistKind {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "map" => Ok(Self::Map),
            "array" => Ok(Self::Array),
            other => Err(ConfigError::Usage(format!(
                "invalid value {other:?} for flag -backend-bbolt-freelist-type: expected map or array"
            ))),
        }
    }
}

/// `new` or `existing`: whether the initial cluster is created.
pub(super) fn cluster_is_new(text: &str) -> Result<bool, ConfigError> {
    match text {
        "new" => Ok(true),
        "existing" => Ok(false),
        other => Err(ConfigError::Usage(format!(
            "invalid value {other:?} for flag -initial-cluster-state: expected new or existing"
        ))),
    }
}

/// Compaction without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoCompaction {
    /// Never.
    Off,
    /// Keep the history of this time.
    Periodic(Duration),
    /// Keep this many revisions.
    Revision(i64),
}

impl AutoCompaction {
    pub(super) fn parse(mode: &str, retention: &str) -> Result<Self, ConfigError> {
        if !matches!(mode, "" | "periodic" | "revision") {
            return Err(invalid(format!("unknown auto-compaction-mode {mode:?}")));
        }
        if let Ok(number) = retention.parse::<u32>() {
            return match (mode, number) {
                (_, 0) => Ok(Self::Off),
                ("revision", n) => Ok(Self::Revision(i64::from(n))),
                ("periodic", hours) => {
                    Ok(Self::Periodic(Duration::from_secs(u64::from(hours) * 3600)))
                }
                _ => Err(invalid("--auto-compaction-mode is undefined".to_owned())),
            };
        }
        let period = parse_duration(retention)
            .map_err(|e| invalid(format!("error parsing --auto-compaction-retention: {e}")))?;
        match (mode, period) {
            (_, Duration::ZERO) => Ok(Self::Off),
            ("periodic", period) => Ok(Self::Periodic(period)),
            _ => Err(invalid(format!(
                "error parsing --auto-compaction-retention: mode {mode:?} takes a number, found {retention:?}"
            ))),
        }
    }
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to see.
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
    /// Only what ends the process (etcd's `panic` and `fatal`).
    Fatal,
}

impl LogLevel {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "panic" | "fatal" => Ok(Self::Fatal),
            other => Err(invalid(format!(
                "unknown --log-level {other:?}: expected debug, info, warn, error, panic or fatal"
            ))),
        }
    }
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogOutput {
    /// Standard error; under systemd that is the journal.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

impl LogOutput {
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, ConfigError> {
        let mut outputs = Vec::new();
        let words: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|w| !w.is_empty())
            .collect();
        for word in &words {
            let output = match *word {
                "default" if words.len() > 1 => {
                    return Err(invalid(
                        "--log-outputs: default cannot be combined with another output".to_owned(),
                    ));
                }
                "default" | "stderr" => Self::Stderr,
                "stdout" => Self::Stdout,
                "systemd/journal" => {
                    return Err(ConfigError::NotSupportedYet {
                        flag: "log-outputs systemd/journal".to_owned(),
                    });
                }
                path => Self::File(PathBuf::from(path)),
            };
            if !outputs.contains(&output) {
                outputs.push(output);
            }
        }
        if outputs.is_empty() {
            return Err(invalid("--log-outputs is empty".to_owned()));
        }
        Ok(outputs)
    }
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Tab-separated columns for people.
    Console,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "json" => Ok(Self::Json),
            "console" => Ok(Self::Console),
            other => Err(invalid(format!(
                "unknown --log-format {other:?}: expected json or console"
            ))),
        }
    }
}

/// How much `/metrics` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsLevel {
    /// Counters and the histograms of etcd's basic set.
    Basic,
    /// Adds a latency histogram per RPC.
    Extensive,
}

impl MetricsLevel {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "basic" => Ok(Self::Basic),
            "extensive" => Ok(Self::Extensive),
            other => Err(invalid(format!(
                "unknown --metrics {other:?}: expected basic or extensive"
            ))),
        }
    }
}
