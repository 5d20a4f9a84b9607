//! Normal entries: decode the request, run it, answer whoever waits.
use std::time::Instant;

use bytes::Bytes;
use varve_mvcc::WriteTxn;
use varve_proto::etcdserverpb::{AlarmType, InternalRaftRequest, Request, TxnRequest, request_op};
use varve_proto::prost::Message as _;
use varve_proto::raftpb::Entry;
use varve_raftnode::Fatal;

use super::error::ApplyError;
use super::outcome::Applied;
use super::state::Applier;
use super::txn;
use crate::quota;
use crate::rpc::RpcError;

impl Applier {
    pub(super) fn normal(&mut self, entry: &Entry, data: Bytes) -> Result<(), Fatal> {
        match InternalRaftRequest::decode(data.clone()) {
            Ok(request) => self.internal(entry, request),
            Err(not_internal) => match Request::decode(data) {
                Ok(request) => self.v2_request(entry, &request),
                Err(not_v2) => Err(format!(
                    "entry {} is neither a v3 request ({not_internal}) nor a v2 request ({not_v2})",
                    entry.index
                )
                .into()),
            },
        }
    }

    fn internal(&mut self, entry: &Entry, request: InternalRaftRequest) -> Result<(), Fatal> {
        if Self::is_membership(&request) {
            return self.membership_request(entry, request);
        }
        if !self.is_new(entry.index) {
            return Ok(());
        }
        let start = Instant::now();
        let id = request.header.as_ref().map_or(request.id, |h| h.id);
        let op = name(&request);
        let mut write = self.parts.store.write();
        let mut exceeded = false;
        let outcome = match self.execute(&mut write, request)? {
            Ok(applied) => Ok(applied),
            Err(ApplyError::Refused(refused)) => {
                let alarmed = self.parts.alarms.is_active(AlarmType::Nospace);
                exceeded = refused == RpcError::NoSpace && !alarmed;
                Err(refused.into())
            }
            Err(ApplyError::Broken(error)) => return Err(error),
        };
        self.end_write(write, entry);
        self.parts
            .observer
            .applied(op, outcome.is_ok(), start.elapsed());
        if exceeded {
            self.parts.waiters.complete_after_alarm(id, outcome);
        } else {
            self.parts.waiters.complete(id, outcome);
        }
        Ok(())
    }

    /// Runs a request in an open write. The outer error is fatal: the log holds something that this
    /// version cannot carry out, and going on would make this member differ from the others.
    fn execute(
        &self,
        write: &mut WriteTxn<'_>,
        request: InternalRaftRequest,
    ) -> Result<Result<Applied, ApplyError>, Fatal> {
        let alarms = &self.parts.alarms;
        if alarms.is_active(AlarmType::Corrupt)
            && request.alarm.is_none()
            && (request.put.is_some()
                || request.txn.is_some()
                || request.delete_range.is_some()
                || request.range.is_some()
                || request.compaction.is_some()
                || request.lease_grant.is_some()
                || request.lease_revoke.is_some())
        {
            return Ok(Err(RpcError::Corrupt.into()));
        }
        let no_space = alarms.is_active(AlarmType::Nospace);
        let outcome = if let Some(put) = request.put {
            if no_space {
                return Ok(Err(RpcError::NoSpace.into()));
            }
            let fits = self.fits(quota::put_cost(&put));
            self.put(write, put).and_then(|a| within(fits, a))
        } else if let Some(txn) = request.txn {
            self.txn(write, txn, no_space)
        } else if let Some(delete) = request.delete_range {
            Self::delete_range(write, &delete)
        } else if request.range.is_some() {
            // etcd proposes no ranges; one that stands in a log changes nothing.
            Ok(Applied::Empty)
        } else if let Some(compaction) = request.compaction {
            self.compact(write, compaction.revision)
        } else if let Some(grant) = request.lease_grant {
            if no_space {
                return Ok(Err(RpcError::NoSpace.into()));
            }
            let fits = self.fits(quota::LEASE_COST);
            write
                .lease_grant(grant.id, grant.ttl)
                .map(|lease| Applied::LeaseGrant {
                    revision: write.revision(),
                    id: lease.id,
                    ttl: lease.ttl,
                })
                .map_err(Into::into)
                .and_then(|a| within(fits, a))
        } else if let Some(revoke) = request.lease_revoke {
            write
                .lease_revoke(revoke.id)
                .map(|()| Applied::LeaseRevoke {
                    revision: after(write),
                })
                .map_err(Into::into)
        } else if let Some(checkpoint) = request.lease_checkpoint {
            for point in checkpoint.checkpoints {
                write.lease_checkpoint(point.id, point.remaining_ttl);
            }
            Ok(Applied::Empty)
        } else if let Some(alarm) = request.alarm {
            let alarms = alarms.apply(write, &alarm);
            Ok(Applied::Alarm {
                revision: write.revision(),
                alarms,
            })
        } else {
            return Err(unsupported(&request).into());
        };
        Ok(outcome)
    }

    fn put(
        &self,
        write: &mut WriteTxn<'_>,
        put: varve_proto::etcdserverpb::PutRequest,
    ) -> Result<Applied, ApplyError> {
        txn::check_put(write, &put, self.parts.store.lessor())?;
        let prev_kv = txn::put(write, put)?;
        Ok(Applied::Put {
            revision: after(write),
            prev_kv,
        })
    }

    fn delete_range(
        write: &mut WriteTxn<'_>,
        delete: &varve_proto::etcdserverpb::DeleteRangeRequest,
    ) -> Result<Applied, ApplyError> {
        let (deleted, prev_kvs) = txn::delete_range(write, delete)?;
        Ok(Applied::DeleteRange {
            revision: after(write),
            deleted,
            prev_kvs,
        })
    }

    fn txn(
        &self,
        write: &mut WriteTxn<'_>,
        request: TxnRequest,
        no_space: bool,
    ) -> Result<Applied, ApplyError> {
        let cost = quota::txn_cost(&request);
        if no_space && cost > 0 {
            return Err(RpcError::NoSpace.into());
        }
        let fits = cost == 0 || self.fits(cost);
        let applied = txn::apply_txn(write, self.parts.store.lessor(), request)?;
        within(fits, Applied::Txn(applied))
    }

    fn compact(&self, write: &mut WriteTxn<'_>, revision: i64) -> Result<Applied, ApplyError> {
        write.compact(revision)?;
        let (done, physical) = tokio::sync::oneshot::channel();
        self.parts.store.on_compaction_done(
            revision,
            Box::new(move |_| {
                // Nobody waits unless the client asked for a physical compaction.
                let _gone = done.send(());
            }),
        );
        Ok(Applied::Compaction {
            revision: write.revision(),
            physical,
        })
    }

    fn fits(&self, cost: u64) -> bool {
        let Some(quota) = self.parts.quota_bytes else {
            return true;
        };
        self.parts
            .store
            .backend()
            .sizes()
            .total_bytes
            .saturating_add(cost)
            < quota
    }
}

/// What was applied beyond the quota stands in the store as on every other member; the client is told
/// otherwise (etcd `server/etcdserver/apply/apply_quota.go`).
fn within(fits: bool, applied: Applied) -> Result<Applied, ApplyError> {
    if fits {
        Ok(applied)
    } else {
        Err(RpcError::NoSpace.into())
    }
}

/// The store's revision once this write ends.
fn after(write: &WriteTxn<'_>) -> i64 {
    write.revision() + i64::from(write.changes() > 0)
}

/// Label of the apply histogram, as etcd names operations.
fn name(request: &InternalRaftRequest) -> &'static str {
    if request.put.is_some() {
        "Put"
    } else if let Some(txn) = &request.txn {
        let has_writes = |ops: &[varve_proto::etcdserverpb::RequestOp]| {
            ops.iter()
                .any(|o| !matches!(o.request, Some(request_op::Request::RequestRange(_))))
        };
        if has_writes(&txn.success) || has_writes(&txn.failure) {
            "Txn"
        } else {
            "TxnReadOnly"
        }
    } else if request.delete_range.is_some() {
        "DeleteRange"
    } else if request.range.is_some() {
        "Range"
    } else if request.compaction.is_some() {
        "Compaction"
    } else if request.lease_grant.is_some() {
        "LeaseGrant"
    } else if request.lease_revoke.is_some() {
        "LeaseRevoke"
    } else if request.lease_checkpoint.is_some() {
        "LeaseCheckpoint"
    } else {
        "Alarm"
    }
}

fn unsupported(request: &InternalRaftRequest) -> String {
    let what = if request.auth_enable.is_some() {
        "AuthEnable"
    } else if request.auth_user_add.is_some() || request.auth_role_add.is_some() {
        "AuthUserAdd or AuthRoleAdd"
    } else {
        "an authentication request or one of a newer etcd"
    };
    format!("the log holds {what}, which this version of varve does not support yet")
}
