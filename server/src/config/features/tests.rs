//! Properties of the feature switches.
use super::super::{Config, Environment, Parsed};
use super::*;

fn parse(args: &[&str]) -> Result<Config, ConfigError> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    match Config::parse(&args, &Environment::default())? {
        Parsed::Run(run) => Ok(run.config),
        Parsed::Print(text) => panic!("{text}"),
    }
}

#[test]
fn gates_and_experimental_flags_mean_the_same() {
    let none = parse(&[]).unwrap();
    assert!(!none.corruption.initial && none.corruption.periodic.is_none());
    assert!(none.corruption.compact_hash.is_none() && !none.lease_checkpoints.enabled);
    let by_gate = parse(&[
        "--feature-gates=InitialCorruptCheck=true, CompactHashCheck=1,LeaseCheckpoint=t",
        "--corrupt-check-time=3s",
    ])
    .unwrap();
    let by_flag = parse(&[
        "--experimental-initial-corrupt-check",
        "--experimental-compact-hash-check-enabled=true",
        "--experimental-enable-lease-checkpoint",
        "--experimental-corrupt-check-time=3s",
    ])
    .unwrap();
    assert_eq!(by_gate.corruption, by_flag.corruption);
    assert_eq!(by_gate.lease_checkpoints, by_flag.lease_checkpoints);
    assert_eq!(by_gate.corruption.periodic, Some(Duration::from_secs(3)));
    assert_eq!(
        by_gate.corruption.compact_hash,
        Some(Duration::from_mins(1))
    );
}

#[test]
fn what_cannot_be_switched_is_refused() {
    assert!(parse(&["--feature-gates=TxnModeWriteWithSharedBuffer=true"]).is_ok());
    for bad in [
        "--feature-gates=StopGRPCServiceOnDefrag=true",
        "--feature-gates=Nothing=true",
        "--feature-gates=LeaseCheckpoint",
        "--feature-gates=LeaseCheckpoint=perhaps",
        "--feature-gates=LeaseCheckpointPersist=true",
        "--compact-hash-check-time=0",
    ] {
        assert!(parse(&[bad]).is_err(), "{bad}");
    }
    let twice = parse(&[
        "--feature-gates=InitialCorruptCheck=true",
        "--experimental-initial-corrupt-check=true",
    ]);
    assert!(matches!(twice, Err(ConfigError::Invalid(text)) if text.contains("both flags")));
}
