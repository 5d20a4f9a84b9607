//! The assembled Varve server.
#![forbid(unsafe_code)]

mod config;
mod http;
mod logging;
mod metrics;
mod notify;
pub mod rpc;

pub use config::{
    Access, AutoCompaction, CompatVersion, Config, ConfigError, EngineKind, Environment,
    FreelistKind, InitialCluster, LogFormat, LogLevel, LogOutput, MetricsLevel, Parsed, Run,
    Scheme, Url, Warning,
};
pub use logging::{FATAL, LogGuard, fatal_line, init as init_logging};
pub use notify::notify;
