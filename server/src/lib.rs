//! The assembled Varve server.
#![forbid(unsafe_code)]

mod config;

pub use config::{
    Access, AutoCompaction, CompatVersion, Config, ConfigError, EngineKind, Environment,
    FreelistKind, InitialCluster, LogFormat, LogLevel, LogOutput, MetricsLevel, Parsed, Run,
    Scheme, Url, Warning,
};
