//! Why a command line or environment was refused.

use thiserror::Error;

/// A refused configuration. The text is for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command line cannot be read at all: unknown flag, missing or malformed value.
    #[error("{0}")]
    Usage(String),
    /// Every flag could be read, but the values cannot be used (together).
    #[error("{0}")]
    Invalid(String),
    /// A flag of etcd that this version does not honour. It is refused rather than ignored.
    #[error("--{flag} is not supported yet by this version of varve")]
    NotSupportedYet {
        /// Name without the dashes.
        flag: String,
    },
    /// A flag was given although its environment variable is present, which etcd treats as fatal.
    #[error(
        "conflicting environment variable {variable} is shadowed by the command-line flag --{flag} \
         (either unset the environment variable or drop the flag)"
    )]
    Shadowed {
        /// Name of the variable.
        variable: String,
        /// Name of the flag without the dashes.
        flag: String,
    },
}

impl ConfigError {
    /// The exit status etcd ends with: 2 where the flags cannot be read, 1 otherwise.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NotSupportedYet { .. } => 2,
            Self::Invalid(_) | Self::Shadowed { .. } => 1,
        }
    }
}
