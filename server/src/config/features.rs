//! Features that are off by default: comparisons of the members' contents, checkpoints of leases.
//!
//! etcd 3.5 switches them by experimental flags, 3.6 by `--feature-gates`; both spellings are read here.
//! Source: etcd `server/features/etcd_features.go` and `server/embed/config.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ConfigError;
use super::flags::Flags;
use super::values::parse_bool;

/// How the members' contents are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptionChecks {
    /// With the peers, before this member serves.
    pub initial: bool,
    /// By the leader, this often.
    pub periodic: Option<Duration>,
    /// By the leader, this often, on the hashes that compactions leave.
    pub compact_hash: Option<Duration>,
}

/// Whether the leader tells the members how long leases have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseCheckpoints {
    /// It does.
    pub enabled: bool,
    /// What it told survives a restart.
    pub persist: bool,
}

/// Gates whose default is what this version does anyway: only that value is accepted.
const FIXED: &[(&str, bool)] = &[
    ("StopGRPCServiceOnDefrag", false),
    ("SetMemberLocalAddr", false),
    ("DistributedTracing", false),
    ("TxnModeWriteWithSharedBuffer", true),
    ("AllAlpha", false),
    ("AllBeta", false),
];

/// Reads the flags.
pub(super) fn read(flags: &Flags) -> Result<(CorruptionChecks, LeaseCheckpoints), ConfigError> {
    let gates = gates(flags.feature_gates.as_deref().unwrap_or_default())?;
    let on = |gate: &str, flag: Option<bool>, name: &str| match (gates.get(gate), flag) {
        (Some(_), Some(_)) => Err(ConfigError::Invalid(format!(
            "cannot specify both flags: --{name} and --feature-gates={gate}, please just use --feature-gates={gate}"
        ))),
        (gate, flag) => Ok(gate.copied().or(flag).unwrap_or(false)),
    };
    let initial = on(
        "InitialCorruptCheck",
        flags.experimental_initial_corrupt_check,
        "experimental-initial-corrupt-check",
    )?;
    let compact_hash = on(
        "CompactHashCheck",
        flags.experimental_compact_hash_check_enabled,
        "experimental-compact-hash-check-enabled",
    )?;
    let enabled = on(
        "LeaseCheckpoint",
        flags.experimental_enable_lease_checkpoint,
        "experimental-enable-lease-checkpoint",
    )?;
    let persist = on(
        "LeaseCheckpointPersist",
        flags.experimental_enable_lease_checkpoint_persist,
        "experimental-enable-lease-checkpoint-persist",
    )?;
    if persist && !enabled {
        return Err(ConfigError::Invalid(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
                .to_owned(),
        ));
    }
    let interval = flags
        .compact_hash_check_time
        .unwrap_or(Duration::from_mins(1));
    if interval.is_zero() {
        return Err(ConfigError::Invalid(
            "--compact-hash-check-time must be >0 (set to 0s)".to_owned(),
        ));
    }
    let checks = CorruptionChecks {
        initial,
        periodic: flags.corrupt_check_time.filter(|every| !every.is_zero()),
        compact_hash: compact_hash.then_some(interval),
    };
    Ok((checks, LeaseCheckpoints { enabled, persist }))
}

/// `Name=true,Name=false`: those we can switch.
fn gates(text: &str) -> Result<BTreeMap<String, bool>, ConfigError> {
    let mut gates = BTreeMap::new();
    for gate in text.split(',').map(str::trim).filter(|g| !g.is_empty()) {
        let Some((name, value)) = gate.split_once('=') else {
            return Err(ConfigError::Usage(format!(
                "invalid value {text:?} for flag -feature-gates: missing bool value for {gate}"
            )));
        };
        let (name, value) = (name.trim(), value.trim());
        let value = parse_bool(value).map_err(|_| {
            ConfigError::Usage(format!(
                "invalid value {text:?} for flag -feature-gates: invalid value of {name}={value}"
            ))
        })?;
        match FIXED.iter().find(|(fixed, _)| *fixed == name) {
            Some((_, fixed)) if *fixed == value => continue,
            Some(_) => {
                return Err(ConfigError::NotSupportedYet {
                    flag: format!("feature-gates={name}={value}"),
                });
            }
            None => {}
        }
        match name {
            "InitialCorruptCheck"
            | "CompactHashCheck"
            | "LeaseCheckpoint"
            | "LeaseCheckpointPersist" => {
                gates.insert(name.to_owned(), value);
            }
            _ => {
                return Err(ConfigError::Usage(format!(
                    "invalid value {text:?} for flag -feature-gates: unrecognized feature gate: {name}"
                )));
            }
        }
    }
    Ok(gates)
}

#[cfg(test)]
mod tests;
