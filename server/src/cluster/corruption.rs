//! Whether the members hold the same: hashes of their contents compared, an alarm where they differ.
//!
//! Three checks, all off unless asked for: with the peers before this member serves, by the leader at an
//! interval, and by the leader on the hashes that compactions leave. Runs on the tokio runtime; hashing
//! itself on the blocking pool. Source: etcd `server/etcdserver/corrupt.go`.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use varve_mvcc::HashKv;
use varve_proto::etcdserverpb::alarm_request::AlarmAction;
use varve_proto::etcdserverpb::{AlarmRequest, AlarmType};
use varve_proto::prost::Message as _;
use varve_raftnode::membership::Member;

use super::client::PeerError;
use crate::core::{Core, RequestKind};
use crate::rpc::Status;

/// What a member is asked for, in Go's JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HashRequest {
    /// Newest revision hashed; 0 for all.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) revision: i64,
}

/// What it answers, in Go's JSON: zeros are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HashAnswer {
    /// Of the header, only the revision is filled in.
    #[serde(skip_serializing_if = "HashHeader::is_empty")]
    pub(crate) header: HashHeader,
    /// CRC-32C of the rows up to the revision.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub(crate) hash: u32,
    /// What is compacted there.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) compact_revision: i64,
    /// The revision hashed up to.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) hash_revision: i64,
}

/// The part of a response header that the answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HashHeader {
    /// The member's newest revision.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) revision: i64,
}

impl HashHeader {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde fixes this signature"
    )]
    fn is_empty(&self) -> bool {
        self.revision == 0
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde fixes this signature"
)]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde fixes this signature"
)]
fn is_zero_u32(n: &u32) -> bool {
    *n == 0
}

impl From<HashKv> for HashAnswer {
    fn from(own: HashKv) -> Self {
        Self {
            header: HashHeader {
                revision: own.current_revision,
            },
            hash: own.hash,
            compact_revision: own.compact_revision,
            hash_revision: own.hash_revision,
        }
    }
}

/// A peer's answer, `None` when it gave none.
type PeerHash = (u64, Option<HashAnswer>);

/// Before this member serves: its content against that of whoever answers.
///
/// # Errors
/// A peer with the same compact revision has another hash.
pub(crate) async fn initial(core: &Arc<Core>) -> Result<(), String> {
    let own_id = format_args!("{:x}", core.member_id()).to_string();
    tracing::info!(
        local_member_id = own_id,
        "starting initial corruption check"
    );
    let own = hash(core, 0)
        .await
        .map_err(|e| format!("{own_id} failed to fetch hash ({e})"))?;
    let mut differ = 0;
    for (id, answer) in peer_hashes(core, own.hash_revision).await {
        let Some(theirs) = answer else { continue };
        if theirs.hash == own.hash {
            continue;
        }
        let same_compaction = theirs.compact_revision == own.compact_revision;
        differ += usize::from(same_compaction);
        tracing::warn!(
            local_member_revision = own.hash_revision,
            local_member_compact_revision = own.compact_revision,
            local_member_hash = own.hash,
            remote_peer_id = %format_args!("{id:x}"),
            remote_peer_compact_revision = theirs.compact_revision,
            remote_peer_hash = theirs.hash,
            "found different {} from remote peer",
            if same_compaction { "hash values" } else { "compact revision values" }
        );
    }
    if differ > 0 {
        return Err(format!("{own_id} found data inconsistency with peers"));
    }
    tracing::info!(
        local_member_id = own_id,
        "initial corruption checking passed; no corruption"
    );
    Ok(())
}

/// Compares at an interval while this member leads, until the server stops.
pub(crate) async fn run_periodic(core: Arc<Core>, every: Duration) {
    while pause(&core, every).await {
        if core.raft_status().is_leader
            && let Err(error) = compare(&core).await
        {
            tracing::warn!(%error, "failed to check hash KV");
        }
    }
}

/// The same for the hashes that compactions leave.
pub(crate) async fn run_compact_hash(core: Arc<Core>, every: Duration) {
    let mut checked = 0;
    while pause(&core, every).await {
        if core.raft_status().is_leader {
            compare_compactions(&core, &mut checked).await;
        }
    }
}

/// False when the server stops.
async fn pause(core: &Core, every: Duration) -> bool {
    tokio::select! {
        () = core.shutdown_signal() => false,
        () = tokio::time::sleep(every) => true,
    }
}

async fn compare(core: &Arc<Core>) -> Result<(), Status> {
    let before = hash(core, 0).await?;
    let peers = peer_hashes(core, before.hash_revision).await;
    core.linearizable_read().await?;
    let after = hash(core, 0).await?;
    let own = (core.member_id(), &before, &after);
    if let Some(corrupt) = first_mismatch(own, &peers) {
        raise(core, corrupt);
    }
    tracing::info!(
        number_of_peers_checked = peers.iter().filter(|(_, answer)| answer.is_some()).count(),
        "finished peer corruption check"
    );
    Ok(())
}

/// The member whose content cannot be right, by hashes taken before and after the peers were asked.
fn first_mismatch(
    (own_id, before, after): (u64, &HashKv, &HashKv),
    peers: &[PeerHash],
) -> Option<u64> {
    if after.hash != before.hash
        && after.hash_revision == before.hash_revision
        && after.compact_revision == before.compact_revision
    {
        tracing::warn!(revision = after.hash_revision, "found hash mismatch");
        return Some(own_id);
    }
    for (id, answer) in peers {
        let Some(theirs) = answer else { continue };
        let what = if theirs.header.revision > after.current_revision {
            "revision from follower must be less than or equal to leader's"
        } else if theirs.compact_revision > after.compact_revision {
            "compact revision from follower must be less than or equal to leader's"
        } else if theirs.compact_revision == before.compact_revision && theirs.hash != before.hash {
            "same compact revision then hashes must match"
        } else {
            continue;
        };
        tracing::warn!(
            follower_peer_id = %format_args!("{id:x}"),
            leader_revision = after.current_revision,
            leader_compact_revision = after.compact_revision,
            leader_hash = before.hash,
            follower_revision = theirs.header.revision,
            follower_compact_revision = theirs.compact_revision,
            follower_hash = theirs.hash,
            "{what}"
        );
        return Some(*id);
    }
    None
}

async fn compare_compactions(core: &Arc<Core>, checked: &mut i64) {
    let mut own = core.store().compaction_hashes();
    own.retain(|hash| hash.hash_revision > *checked);
    own.sort_by_key(|hash| std::cmp::Reverse(hash.hash_revision));
    for hash in own {
        let peers = peer_hashes(core, hash.hash_revision).await;
        if peers.is_empty() {
            continue;
        }
        match verdict(core.member_id(), &hash, &peers) {
            Verdict::Equal => {
                *checked = hash.hash_revision.max(*checked);
                return;
            }
            Verdict::Incomplete => {}
            Verdict::Corrupt(members) => {
                tracing::error!(
                    leader_revision = hash.hash_revision,
                    leader_compact_revision = hash.compact_revision,
                    leader_hash = hash.hash,
                    members = ?members,
                    "Detected compaction hash mismatch"
                );
                for member in members {
                    raise(core, member);
                }
                return;
            }
        }
    }
}

/// What the hashes of one compaction say.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All members have the same.
    Equal,
    /// Those that answered have the same.
    Incomplete,
    /// These differ from a majority; 0 when there is none to differ from.
    Corrupt(Vec<u64>),
}

fn verdict(own_id: u64, own: &HashKv, peers: &[PeerHash]) -> Verdict {
    let mut members: BTreeMap<u32, Vec<u64>> = BTreeMap::from([(own.hash, vec![own_id])]);
    let mut answered = 0;
    for (id, answer) in peers {
        match answer {
            Some(theirs) if theirs.compact_revision == own.compact_revision => {
                answered += 1;
                members.entry(theirs.hash).or_default().push(*id);
            }
            _ => {}
        }
    }
    if members.len() == 1 {
        return if answered == peers.len() {
            Verdict::Equal
        } else {
            Verdict::Incomplete
        };
    }
    let quorum = peers.len().div_ceil(2) + 1;
    let right = members
        .iter()
        .find(|(_, ids)| ids.len() >= quorum)
        .map(|(hash, _)| *hash);
    match right {
        Some(right) => {
            members.remove(&right);
            Verdict::Corrupt(members.into_values().flatten().collect())
        }
        None => Verdict::Corrupt(vec![0]),
    }
}

/// Has the alarm raised for everybody, without waiting for it.
fn raise(core: &Arc<Core>, member_id: u64) {
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let alarm = AlarmRequest {
            member_id,
            action: AlarmAction::Activate.into(),
            alarm: AlarmType::Corrupt.into(),
        };
        let raised = core
            .process(RequestKind::Alarm, alarm.encode_to_vec().into())
            .await;
        if let Err(error) = raised {
            tracing::warn!(%error, "failed to raise the CORRUPT alarm");
        }
    });
}

/// This member's hash of everything up to a revision; 0 for all.
pub(crate) async fn hash(core: &Arc<Core>, revision: i64) -> Result<HashKv, Status> {
    let core = Arc::clone(core);
    tokio::task::spawn_blocking(move || Ok(core.store().hash_kv(revision)?))
        .await
        .unwrap_or_else(|e| Err(Status::internal(format!("a worker thread failed: {e}"))))
}

/// The hashes of all other members, asked one after the other.
async fn peer_hashes(core: &Core, revision: i64) -> Vec<PeerHash> {
    let members: Vec<Member> = core.cluster().read().members().cloned().collect();
    let mut answers = Vec::new();
    for member in members.iter().filter(|m| m.id != core.member_id()) {
        answers.push((member.id, peer_hash(core, member, revision).await));
    }
    answers
}

async fn peer_hash(core: &Core, member: &Member, revision: i64) -> Option<HashAnswer> {
    for url in &member.peer_urls {
        match ask(core, url, revision).await {
            Ok(answer) => return Some(answer),
            Err(error) => tracing::warn!(
                requested_revision = revision,
                remote_peer_endpoint = url,
                %error,
                "failed hash kv request"
            ),
        }
    }
    None
}

async fn ask(core: &Core, url: &str, revision: i64) -> Result<HashAnswer, PeerError> {
    let unexpected = |what: String| PeerError::Unexpected {
        url: url.to_owned(),
        what,
    };
    let body =
        serde_json::to_vec(&HashRequest { revision }).map_err(|e| unexpected(e.to_string()))?;
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Ok(id) = format!("{:x}", core.header().cluster_id).parse() {
        headers.insert("x-etcd-cluster-id", id);
    }
    let timeout = core.config().request_timeout();
    let client = core.peer_client();
    let answer = client
        .ask(
            Method::GET,
            url,
            "/members/hashkv",
            (headers, body.into()),
            timeout,
        )
        .await?;
    if answer.status != StatusCode::OK {
        return Err(unexpected(format!("{}: {}", answer.status, answer.text())));
    }
    serde_json::from_slice(&answer.body).map_err(|e| unexpected(e.to_string()))
}

#[cfg(test)]
mod tests;
