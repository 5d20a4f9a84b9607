//! Probes: does a member answer, how fast, and do its clock and ours agree?
//!
//! Two tasks for each member, as in etcd, named after the kinds of connection there. What they find goes
//! to the log and the metrics; nothing else depends on it.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};

use super::Hex;
use super::client::{Link as Connection, PeerClient};
use super::error::PeerError;
use super::handler::empty;
use super::json_time;
use super::peers::Link;
use super::url::PeerUrl;

pub(crate) const PATH: &str = "/raft/probing";
/// The names of the two.
pub(crate) const PROBERS: [&str; 2] = ["ROUND_TRIPPER_RAFT_MESSAGE", "ROUND_TRIPPER_SNAPSHOT"];
/// How often the findings are looked at: at first and while there is something wrong, and otherwise.
const LOOK_WORRIED: Duration = Duration::from_secs(5);
const LOOK_CALM: Duration = Duration::from_secs(30);
/// Beyond it the clocks differ too much.
const MAX_DRIFT: Duration = Duration::from_secs(1);
/// Weight of the newest round trip in the smoothed one, one in so many.
const SMOOTHING: u32 = 8;

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
struct Health {
    #[serde(rename = "OK")]
    ok: bool,
    #[serde(rename = "Now")]
    now: String,
}

/// What this member answers.
pub(crate) fn answer() -> String {
    let health = Health {
        ok: true,
        now: json_time::format(SystemTime::now()),
    };
    let mut json = serde_json::to_string(&health).unwrap_or_default();
    json.push('\n');
    json
}

/// Probes one member, for ever. Its task is aborted when the member goes.
pub(crate) struct Prober {
    pub(crate) name: &'static str,
    pub(crate) link: Arc<Link>,
    pub(crate) client: PeerClient,
}

/// What the probes found.
#[derive(Debug, Default)]
struct Findings {
    round_trip: Duration,
    drift: Duration,
    /// Why the last one failed.
    error: Option<String>,
}

impl Prober {
    /// Runs until it is aborted.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(self.link.timings.probe());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut findings = Findings::default();
        let mut connection = None;
        let mut look = Instant::now() + LOOK_WORRIED;
        loop {
            tokio::select! {
                _ = ticks.tick() => self.probe(&mut connection, &mut findings).await,
                () = tokio::time::sleep_until(look) => {
                    look = Instant::now() + self.look(&findings);
                }
            }
        }
    }

    async fn probe(&self, connection: &mut Option<Connection>, findings: &mut Findings) {
        let url = self.link.picker.pick();
        let sent = SystemTime::now();
        let began = Instant::now();
        match self.ask(connection, &url).await {
            Ok(remote) => {
                let took = began.elapsed();
                findings.error = None;
                findings.round_trip = if findings.round_trip.is_zero() {
                    took
                } else {
                    (findings.round_trip * (SMOOTHING - 1) + took) / SMOOTHING
                };
                let here = sent + took / 2;
                findings.drift = remote
                    .duration_since(here)
                    .unwrap_or_else(|behind| behind.duration());
            }
            Err(error) => {
                *connection = None;
                findings.error = Some(error);
            }
        }
    }

    async fn ask(
        &self,
        connection: &mut Option<Connection>,
        url: &PeerUrl,
    ) -> Result<SystemTime, String> {
        let kept = connection.take();
        let mut link = match kept.filter(|c| c.is_fresh(url, self.client.timings())) {
            Some(link) => link,
            None => self.open(url).await.map_err(|e| e.to_string())?,
        };
        let mut request = Request::new(empty());
        *request.uri_mut() = http::Uri::from_static(PATH);
        let answer = link.exchange(request).await.map_err(|e| e.to_string())?;
        *connection = Some(link);
        read(answer.body())
    }

    async fn open(&self, url: &PeerUrl) -> Result<Connection, PeerError> {
        self.client.open(url).await
    }

    /// Says what is wrong, and when to look again.
    fn look(&self, findings: &Findings) -> Duration {
        if findings.drift > MAX_DRIFT {
            tracing::warn!(
                round_tripper_name = self.name,
                remote_peer_id = %Hex(self.link.id),
                clock_drift = ?findings.drift,
                rtt = ?findings.round_trip,
                "prober found high clock drift"
            );
        }
        self.link.counters.round_trip(findings.round_trip);
        let Some(error) = &findings.error else {
            return LOOK_CALM;
        };
        tracing::warn!(
            round_tripper_name = self.name,
            remote_peer_id = %Hex(self.link.id),
            rtt = ?findings.round_trip,
            error,
            "prober detected unhealthy status"
        );
        LOOK_WORRIED
    }
}

/// What an answer says of the member's clock.
fn read(answer: &Bytes) -> Result<SystemTime, String> {
    let health: Health = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
    if !health.ok {
        return Err("the member is not well".to_owned());
    }
    json_time::parse(&health.now).ok_or_else(|| format!("{:?} is no time", health.now))
}

#[cfg(test)]
mod tests;
