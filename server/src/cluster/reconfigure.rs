//! Changes of the cluster on request: adding, removing, updating, promoting members, moving the leader.
//!
//! Called by the gRPC services and the peer listener. A change is checked against what would endanger
//! the quorum, proposed as a conf change, and answered when it is applied; that checks it again, by rules
//! that are the same on every member. Source of the checks, their order and texts: etcd
//! `server/etcdserver/server.go` and `api/membership/cluster.go`.
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::oneshot;
use varve_proto::raftpb::{ConfChange, ConfChangeType};
use varve_raftnode::RequestError;
use varve_raftnode::membership::{Cluster, Member, member_id, to_json};

use super::remote;
use crate::config::Url;
use crate::core::{Core, request_error};
use crate::rpc::{RpcError, Status};

/// How long a member must have been connected to count as healthy.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// How often an unknown leader, or one that did not answer, is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(50);

impl Core {
    /// Adds a member at these URLs. Returns it, and the members after the change.
    pub(crate) async fn add_member(
        &self,
        peer_urls: &[String],
        is_learner: bool,
    ) -> Result<(Member, Vec<Member>), Status> {
        let urls = peer_urls
            .iter()
            .map(|url| Url::parse(url))
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|urls| !urls.is_empty())
            .ok_or(RpcError::MemberBadUrls)?;
        let mut urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
        urls.sort();
        let member = Member {
            id: member_id(&urls, "", Some(unix_seconds())),
            peer_urls: urls,
            is_learner,
            ..Member::default()
        };
        self.may_add(is_learner)?;
        let kind = if is_learner {
            ConfChangeType::ConfChangeAddLearnerNode
        } else {
            ConfChangeType::ConfChangeAddNode
        };
        let members = self.configure(kind, member.id, to_json(&member)).await?;
        Ok((member, members))
    }

    /// Removes a member for good. Returns the members after the change.
    pub(crate) async fn remove_member(&self, id: u64) -> Result<Vec<Member>, Status> {
        self.may_remove(id)?;
        self.configure(ConfChangeType::ConfChangeRemoveNode, id, String::new())
            .await
    }

    /// Gives a member new peer URLs. They are not parsed, as in etcd.
    pub(crate) async fn update_member(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<Vec<Member>, Status> {
        let member = Member {
            id,
            peer_urls,
            ..Member::default()
        };
        self.configure(ConfChangeType::ConfChangeUpdateNode, id, to_json(&member))
            .await
    }

    /// Makes a learner a voter; only the leader knows whether it is ready, so others ask the leader.
    /// `authorization` is the client's token.
    pub(crate) async fn promote_member(
        &self,
        id: u64,
        authorization: Option<&str>,
    ) -> Result<Vec<Member>, Status> {
        match self.promote_here(id).await {
            Ok(members) => {
                self.metrics().learner_promoted(None);
                Ok(members)
            }
            Err(error) if error.message() == RpcError::NotLeader.text() => {
                let forwarding = self.promote_at_leader(id, authorization);
                match tokio::time::timeout(self.config().request_timeout(), forwarding).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(RpcError::Timeout.into()),
                }
            }
            Err(error) => {
                self.metrics().learner_promoted(Some(error.message()));
                Err(error)
            }
        }
    }

    async fn promote_here(&self, id: u64) -> Result<Vec<Member>, Status> {
        self.wait_applied_to_commit().await?;
        let (done, answer) = oneshot::channel();
        self.node()
            .progress(Box::new(move |progress| {
                // The client may have given up.
                let _gone = done.send(progress);
            }))
            .map_err(request_error)?;
        let progress = match answer.await {
            Ok(Ok(progress)) => progress,
            Ok(Err(error)) => return Err(request_error(error).into()),
            Err(_) => return Err(RpcError::Stopped.into()),
        };
        if progress.leader != self.member_id() || progress.members.is_empty() {
            return Err(RpcError::NotLeader.into());
        }
        if progress.member(id).is_none() {
            return Err(RpcError::MemberNotFound.into());
        }
        if !progress.is_ready_to_vote(id, self.member_id()) {
            return Err(RpcError::LearnerNotReady.into());
        }
        if self.config().strict_reconfig_check {
            let cluster = self.cluster().read();
            // The learner counts as a started voter.
            let (started, voters) = started(&cluster, None);
            if started + 1 < quorum(voters + 1) {
                return Err(RpcError::MemberNotEnoughStarted.into());
            }
        }
        self.configure(ConfChangeType::ConfChangeAddNode, id, promotion(id))
            .await
    }

    async fn promote_at_leader(
        &self,
        id: u64,
        authorization: Option<&str>,
    ) -> Result<Vec<Member>, Status> {
        let mut headers = HeaderMap::new();
        if let Some(token) = authorization.and_then(|t| t.parse().ok()) {
            headers.insert(http::header::AUTHORIZATION, token);
        }
        let path = format!("/members/promote/{id}");
        loop {
            let leader = self.wait_leader().await?;
            for url in &leader.peer_urls {
                let asking = self.peer_client().ask(
                    Method::POST,
                    url,
                    &path,
                    (headers.clone(), bytes::Bytes::new()),
                    self.config().request_timeout(),
                );
                let answer = match asking.await {
                    Ok(answer) => answer,
                    Err(error) => {
                        tracing::warn!(%error, "failed to forward a promotion to the leader");
                        continue;
                    }
                };
                match answer.status {
                    StatusCode::OK => {
                        return remote::parse_members(url, &answer)
                            .map_err(|e| Status::unknown(e.to_string()));
                    }
                    StatusCode::NOT_FOUND => return Err(RpcError::MemberNotFound.into()),
                    // One status for two reasons.
                    StatusCode::PRECONDITION_FAILED
                        if answer.text().contains(RpcError::LearnerNotReady.text()) =>
                    {
                        return Err(RpcError::LearnerNotReady.into());
                    }
                    StatusCode::PRECONDITION_FAILED
                        if answer.text().contains("can only promote a learner member") =>
                    {
                        return Err(RpcError::MemberNotLearner.into());
                    }
                    _ => tracing::warn!(
                        status = answer.status.as_u16(),
                        answer = answer.text(),
                        "the leader did not promote a member"
                    ),
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Hands leadership to another voter and waits until that leads here.
    pub(crate) async fn move_leader(&self, to: u64) -> Result<(), Status> {
        let votes = self
            .cluster()
            .read()
            .member(to)
            .is_some_and(|m| !m.is_learner);
        if !votes {
            return Err(RpcError::BadLeaderTransferee.into());
        }
        let began = Instant::now();
        let name = format_args!("{to:x}").to_string();
        tracing::info!(transferee_member_id = name, "leadership transfer starting");
        let (done, moved) = oneshot::channel();
        self.node()
            .transfer_leader(
                Some(to),
                Box::new(move |outcome| {
                    // The client may have given up.
                    let _gone = done.send(outcome);
                }),
            )
            .map_err(request_error)?;
        match moved.await {
            Ok(Ok(_)) => {
                tracing::info!(
                    new_leader_member_id = name,
                    took = ?began.elapsed(),
                    "leadership transfer finished"
                );
                Ok(())
            }
            Ok(Err(RequestError::NoTransferee)) => Err(RpcError::BadLeaderTransferee.into()),
            Ok(Err(RequestError::TransferTimedOut)) => Err(Status::unknown(
                "etcdserver: request timed out, leader transfer took too long",
            )),
            Ok(Err(error)) => Err(request_error(error).into()),
            Err(_) => Err(RpcError::Stopped.into()),
        }
    }

    /// Before a stop: gives leadership to the voter that has been connected for longest.
    pub(crate) async fn leave_leadership(&self) {
        if !self.raft_status().is_leader {
            return;
        }
        let voters: Vec<u64> = self.cluster().read().voters().map(|m| m.id).collect();
        if voters.len() < 2 {
            return;
        }
        let outcome = match self.links().longest_connected(voters) {
            Some(to) => self.move_leader(to).await,
            None => Err(RpcError::Unhealthy.into()),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "leadership transfer failed");
        }
    }

    /// The leader, once one is known that is a member here.
    pub(crate) async fn wait_leader(&self) -> Result<Member, Status> {
        loop {
            let mut watch = self.leader_watch();
            let leader = watch
                .wait_for(|(id, _)| *id != 0)
                .await
                .map_err(|_| RpcError::Stopped)?
                .0;
            let member = self.cluster().read().member(leader).cloned();
            if let Some(member) = member {
                return Ok(member);
            }
            // A member that catches up may hear from a leader before it applied who that is.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Proposes a conf change and waits until it is applied.
    async fn configure(
        &self,
        kind: ConfChangeType,
        node_id: u64,
        context: String,
    ) -> Result<Vec<Member>, Status> {
        let id = self.next_request_id();
        let change = ConfChange {
            id,
            r#type: kind.into(),
            node_id,
            context: (!context.is_empty()).then(|| context.into_bytes().into()),
        };
        self.wait_for(id, |core| {
            let waiters = Arc::clone(core.waiters());
            core.node()
                .propose_conf_change(
                    change,
                    Box::new(move |outcome| {
                        // What is accepted is answered when it is applied.
                        if let Err(refused) = outcome {
                            waiters.complete(id, Err(request_error(refused).into()));
                        }
                    }),
                )
                .map_err(|e| request_error(e).into())
        })
        .await?;
        Ok(self.cluster().read().members().cloned().collect())
    }

    fn may_add(&self, is_learner: bool) -> Result<(), RpcError> {
        if !self.config().strict_reconfig_check {
            return Ok(());
        }
        let verdict = may_add(&self.cluster().read(), is_learner, |id| self.is_healthy(id));
        log_refusal("add", None, verdict)
    }

    fn may_remove(&self, id: u64) -> Result<(), RpcError> {
        if !self.config().strict_reconfig_check {
            return Ok(());
        }
        let connected = self.links().is_connected(id);
        let verdict = may_remove(&self.cluster().read(), id, connected, |id| {
            self.is_healthy(id)
        });
        log_refusal("remove", Some(id), verdict)
    }

    /// Whether a member has been connected for long enough; this one always is.
    fn is_healthy(&self, id: u64) -> bool {
        Instant::now()
            .checked_sub(HEALTH_INTERVAL)
            .is_some_and(|since| self.links().connected_since(id, since))
    }
}

fn log_refusal(
    what: &'static str,
    id: Option<u64>,
    verdict: Result<(), RpcError>,
) -> Result<(), RpcError> {
    if let Err(error) = verdict {
        let member = id.map(|id| format!("{id:x}"));
        tracing::warn!(
            requested_member_id = member,
            error = error.text(),
            "rejecting member {what} request; not enough healthy members"
        );
    }
    verdict
}

/// Whether a member may be added without endangering the quorum.
fn may_add(
    cluster: &Cluster,
    is_learner: bool,
    is_healthy: impl Fn(u64) -> bool,
) -> Result<(), RpcError> {
    let (started, voters) = started(cluster, None);
    // One started member may always be joined by a second.
    let few = started < quorum(voters + 1) && !(started == 1 && voters == 1);
    if !is_learner && few {
        return Err(RpcError::MemberNotEnoughStarted);
    }
    if voters > 1 && count_healthy(cluster, is_healthy) < quorum(voters + 1) {
        return Err(RpcError::Unhealthy);
    }
    Ok(())
}

/// Whether a member may be removed without endangering the quorum.
fn may_remove(
    cluster: &Cluster,
    id: u64,
    is_connected: bool,
    is_healthy: impl Fn(u64) -> bool,
) -> Result<(), RpcError> {
    if cluster.member(id).is_some_and(|m| m.is_learner) {
        return Ok(());
    }
    let (others_started, others) = started(cluster, Some(id));
    if others_started < quorum(others) {
        return Err(RpcError::MemberNotEnoughStarted);
    }
    // One that is down is no part of the active quorum.
    if !is_connected {
        return Ok(());
    }
    let left = count_healthy(cluster, is_healthy).saturating_sub(1);
    if left < quorum(cluster.voters().count().saturating_sub(1)) {
        return Err(RpcError::Unhealthy);
    }
    Ok(())
}

fn count_healthy(cluster: &Cluster, is_healthy: impl Fn(u64) -> bool) -> usize {
    cluster.voters().filter(|m| is_healthy(m.id)).count()
}

/// Started voters and all voters, without the one that is to go.
fn started(cluster: &Cluster, without: Option<u64>) -> (usize, usize) {
    let voters = || cluster.voters().filter(|m| Some(m.id) != without);
    (
        voters().filter(|m| m.is_started()).count(),
        voters().count(),
    )
}

/// What the conf change says that makes a learner a voter: its id, in Go's JSON of a member without URLs.
pub(crate) fn promotion(id: u64) -> String {
    format!(r#"{{"id":{id},"peerURLs":null,"isPromote":true}}"#)
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
