//! `/livez` and `/readyz`: named checks, all of them or one.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::{Probe, Query, response};
use crate::metrics::Metrics;

/// One question about the member's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// No CORRUPT alarm is active.
    DataCorruption,
    /// A local read works.
    SerializableRead,
    /// A read through the leader works.
    LinearizableRead,
    /// The member votes.
    NonLearner,
}

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }
}

/// What a path asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckSet {
    endpoint: &'static str,
    checks: &'static [Check],
    /// A single check cannot be excluded.
    single: bool,
}

const LIVE: &[Check] = &[Check::SerializableRead];
const READY: &[Check] = &[
    Check::DataCorruption,
    Check::SerializableRead,
    Check::LinearizableRead,
    Check::NonLearner,
];

/// The checks behind a path.
pub(super) fn find(path: &str) -> Option<CheckSet> {
    for (endpoint, checks) in [("livez", LIVE), ("readyz", READY)] {
        let Some(rest) = path
            .strip_prefix('/')
            .and_then(|p| p.strip_prefix(endpoint))
        else {
            continue;
        };
        if rest.is_empty() {
            return Some(CheckSet {
                endpoint,
                checks,
                single: false,
            });
        }
        let name = rest.strip_prefix('/')?;
        let at = checks.iter().position(|check| check.name() == name)?;
        return Some(CheckSet {
            endpoint,
            checks: &checks[at..=at],
            single: true,
        });
    }
    None
}

/// Runs them and answers `ok`, or 503 with what failed; `?verbose` lists every check.
pub(super) async fn run(
    probe: &impl Probe,
    metrics: &Metrics,
    set: CheckSet,
    query: Query<'_>,
) -> Response<Bytes> {
    let mut report = String::new();
    let mut healthy = true;
    for &check in set.checks {
        let name = check.name();
        if !set.single && query.all("exclude").any(|excluded| excluded == name) {
            continue;
        }
        let result = verdict(probe, check).await;
        metrics.health_check(set.endpoint, name, result.is_ok());
        // Writing to a String cannot fail.
        match result {
            Ok(()) => writeln!(report, "[+]{name} ok"),
            Err(reason) => {
                healthy = false;
                writeln!(report, "[-]{name} failed: {reason}")
            }
        }
        .unwrap_or_default();
    }
    if !healthy {
        tracing::error!(
            path = set.endpoint,
            reason = report,
            status_code = 503,
            "health check error"
        );
        return response::error(StatusCode::SERVICE_UNAVAILABLE, &report);
    }
    let prefix = if query.has("verbose") {
        report.as_str()
    } else {
        ""
    };
    response::text(StatusCode::OK, format!("{prefix}ok\n"))
}

async fn verdict(probe: &impl Probe, check: Check) -> Result<(), String> {
    match check {
        Check::DataCorruption if probe.alarms().contains(&"CORRUPT") => {
            Err("alarm activated: CORRUPT".to_owned())
        }
        Check::NonLearner if probe.is_learner() => Err("not supported for learner".to_owned()),
        Check::DataCorruption | Check::NonLearner => Ok(()),
        Check::SerializableRead => probe.read(false).await,
        Check::LinearizableRead => probe.read(true).await,
    }
}
