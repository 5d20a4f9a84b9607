//! The assembled Varve server.
#![forbid(unsafe_code)]

mod api;
mod apply;
mod bootstrap;
mod cluster;
mod compactor;
mod compat;
mod config;
mod core;
mod data_dir;
mod events;
mod http;
mod lease_expiry;
mod logging;
mod metrics;
mod notify;
mod peer_http;
mod publish;
mod quota;
mod quota_alarm;
mod reads;
mod replica;
pub mod rpc;
#[cfg_attr(
    not(feature = "stepped"),
    expect(unreachable_pub, reason = "shown to the simulator alone")
)]
mod seeded;
mod serve;
mod start;
#[cfg(feature = "stepped")]
pub mod stepped;
mod store_error;
mod stored_cluster;
mod unsynced;
mod waiters;

pub use config::{
    Access, AutoCompaction, CompatVersion, Config, ConfigError, CorruptionChecks, EngineKind,
    Environment, FreelistKind, InitialCluster, LeaseCheckpoints, LogFormat, LogLevel, LogOutput,
    MetricsLevel, Parsed, Run, Scheme, Url, Warning,
};
pub use logging::{FATAL, LogGuard, fatal_line, init as init_logging};
pub use notify::notify;
pub use serve::run;
pub use start::StartError;
