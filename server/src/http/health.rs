//! `/health`: may this member serve? Alarms first, then the leader, then a read.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::{Probe, Query, response};
use crate::metrics::Metrics;

/// Answers with etcd's JSON: 200 when healthy, 503 with the reason otherwise.
pub(super) async fn health(
    probe: &impl Probe,
    metrics: &Metrics,
    query: Query<'_>,
) -> Response<Bytes> {
    let verdict = verdict(probe, query).await;
    metrics.health(verdict.is_ok());
    match verdict {
        Ok(()) => response::body(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            Bytes::from_static(br#"{"health":"true","reason":""}"#),
        ),
        Err(reason) => {
            tracing::warn!(reason, status_code = 503, "/health error");
            let text = serde_json::json!({ "health": "false", "reason": reason }).to_string();
            response::error(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

async fn verdict(probe: &impl Probe, query: Query<'_>) -> Result<(), String> {
    for alarm in probe.alarms() {
        if query.all("exclude").any(|excluded| excluded == alarm) {
            continue;
        }
        return Err(match alarm {
            "NOSPACE" | "CORRUPT" => format!("ALARM {alarm}"),
            _ => "ALARM UNKNOWN".to_owned(),
        });
    }
    let serializable = query.all("serializable").next() == Some("true");
    if !serializable && !probe.has_leader() {
        return Err("RAFT NO LEADER".to_owned());
    }
    probe
        .read(!serializable)
        .await
        .map_err(|e| format!("RANGE ERROR:{e}"))
}
