//! Maintenance: alarms, status, hashes, giving space back, snapshots, moving the leader.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use varve_proto::etcdserverpb::{
    AlarmMember, AlarmResponse, AlarmType, DefragmentResponse, DowngradeInfo, HashKvRequest,
    HashKvResponse, HashResponse, MoveLeaderRequest, MoveLeaderResponse, StatusResponse,
};

use super::header;
use super::kv::{blocking, unexpected};
use crate::apply::Applied;
use crate::core::{Core, RequestKind};
use crate::rpc::{EncodedMessage, RpcError, Status};

mod snapshot;

pub(super) use snapshot::snapshot;

pub(super) async fn alarm(core: &Arc<Core>, message: Bytes) -> Result<EncodedMessage, Status> {
    match core.process(RequestKind::Alarm, message).await? {
        Applied::Alarm { revision, alarms } => Ok(EncodedMessage::encode(&AlarmResponse {
            header: Some(header::message(&core.header(), revision)),
            alarms,
        })),
        other => Err(unexpected(&other)),
    }
}

/// What this member knows of itself, without asking another.
pub(super) fn status(core: &Core) -> Result<EncodedMessage, Status> {
    let compat = core.config().compat;
    let raft = core.raft_status();
    let sizes = core.store().backend().sizes();
    let mut errors = Vec::new();
    if raft.leader == 0 {
        errors.push(RpcError::NoLeader.text().to_owned());
    }
    errors.extend(core.alarms().iter().map(describe));
    let mut response = StatusResponse {
        header: Some(header::message(&core.header(), core.store().revision())),
        version: compat.server_version().to_owned(),
        db_size: signed(sizes.total_bytes),
        leader: raft.leader,
        raft_index: raft.commit_index,
        raft_term: raft.term,
        raft_applied_index: raft.applied_index,
        errors,
        db_size_in_use: signed(sizes.in_use_bytes),
        is_learner: raft.is_learner,
        ..StatusResponse::default()
    };
    if compat.has_36_fields() {
        response.storage_version = core.storage_version().unwrap_or_default();
        // etcd reports the flag's value; without a limit that is any negative number.
        response.db_size_quota = core.config().quota_backend_bytes.unwrap_or(-1);
        response.downgrade_info = Some(DowngradeInfo::default());
    }
    Ok(EncodedMessage::encode(&response))
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// An alarm as Go's protobuf prints the message, with its blank at the end.
fn describe(alarm: &AlarmMember) -> String {
    let member = match alarm.member_id {
        0 => String::new(),
        id => format!("memberID:{id} "),
    };
    match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::None) => member,
        Ok(kind) => format!("{member}alarm:{} ", kind.as_str_name()),
        Err(_) => format!("{member}alarm:{} ", alarm.alarm),
    }
}

/// Gives unused space back. etcd's answer has no header.
pub(super) async fn defragment(core: &Arc<Core>) -> Result<EncodedMessage, Status> {
    let core = Arc::clone(core);
    blocking(move || {
        let began = Instant::now();
        core.metrics().defrag_started();
        let backend = core.store().backend();
        let reclaimed = backend.force_commit().and_then(|()| backend.reclaim());
        core.metrics().defrag_ended(began.elapsed());
        let reclaimed = reclaimed?;
        tracing::info!(
            bytes_before = reclaimed.bytes_before,
            bytes_after = reclaimed.bytes_after,
            took = ?began.elapsed(),
            "finished defragmenting"
        );
        Ok(EncodedMessage::encode(&DefragmentResponse { header: None }))
    })
    .await
}

pub(super) async fn hash(core: &Arc<Core>) -> Result<EncodedMessage, Status> {
    let core = Arc::clone(core);
    blocking(move || {
        let began = Instant::now();
        let hash = core.store().hash()?;
        core.metrics().observe_hash(began.elapsed());
        Ok(EncodedMessage::encode(&HashResponse {
            header: Some(header::message(&core.header(), core.store().revision())),
            hash,
        }))
    })
    .await
}

pub(super) async fn hash_kv(
    core: &Arc<Core>,
    request: HashKvRequest,
) -> Result<EncodedMessage, Status> {
    let core = Arc::clone(core);
    blocking(move || {
        let began = Instant::now();
        let hash = core.store().hash_kv(request.revision)?;
        core.metrics().observe_hash_kv(began.elapsed());
        let hash_revision = if core.config().compat.has_36_fields() {
            hash.hash_revision
        } else {
            0
        };
        Ok(EncodedMessage::encode(&HashKvResponse {
            header: Some(header::message(&core.header(), hash.current_revision)),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision,
        }))
    })
    .await
}

/// Hands leadership over. etcd's answer has no header.
pub(super) async fn move_leader(
    core: &Core,
    request: MoveLeaderRequest,
) -> Result<EncodedMessage, Status> {
    if !core.raft_status().is_leader {
        return Err(RpcError::NotLeader.into());
    }
    core.move_leader(request.target_id).await?;
    Ok(EncodedMessage::encode(&MoveLeaderResponse { header: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_reads_as_in_go() {
        let alarm = AlarmMember {
            member_id: 12,
            alarm: AlarmType::Nospace.into(),
        };
        assert_eq!(describe(&alarm), "memberID:12 alarm:NOSPACE ");
        let alarm = AlarmMember {
            member_id: 0,
            alarm: AlarmType::Corrupt.into(),
        };
        assert_eq!(describe(&alarm), "alarm:CORRUPT ");
        assert_eq!(
            describe(&AlarmMember {
                member_id: 1,
                alarm: 9
            }),
            "memberID:1 alarm:9 "
        );
    }
}
