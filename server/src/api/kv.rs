//! KV: Range, Put, DeleteRange, Txn, Compact.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use varve_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest, request_op::Request,
};

use super::{encode, header, validate};
use crate::apply::{Applied, TxnApplied, eval_read_only, range_options};
use crate::core::{Core, RequestKind};
use crate::quota;
use crate::rpc::{EncodedMessage, RpcError, Status, decode};

/// Pairs a range may be asked for before it is read on a thread where blocking is allowed.
const INLINE_LIMIT: i64 = 1000;

pub(super) async fn range(
    core: &Arc<Core>,
    request: RangeRequest,
) -> Result<EncodedMessage, Status> {
    validate::range(&request)?;
    if !request.serializable {
        if core.raft_status().is_learner {
            return Err(RpcError::NotSupportedForLearner.into());
        }
        core.linearizable_read().await?;
    }
    let began = Instant::now();
    let outcome = if reads_little(&request) {
        read(core, &request)
    } else {
        let core = Arc::clone(core);
        blocking(move || read(&core, &request)).await
    };
    core.metrics()
        .observe_range(outcome.is_ok(), began.elapsed());
    outcome
}

fn read(core: &Core, request: &RangeRequest) -> Result<EncodedMessage, Status> {
    let result = core.store().read().range(&range_options(request))?;
    Ok(encode::range(&core.header(), result))
}

/// Whether a range is over so soon that another thread would only cost.
fn reads_little(request: &RangeRequest) -> bool {
    let single = request.range_end.is_empty();
    // Sorting and filters look at every pair whatever the limit says.
    let plain = request.sort_order == 0
        && request.sort_target == 0
        && request.min_mod_revision == 0
        && request.max_mod_revision == 0
        && request.min_create_revision == 0
        && request.max_create_revision == 0;
    let now = request.revision <= 0;
    single || (plain && now && (1..=INLINE_LIMIT).contains(&request.limit))
}

pub(super) async fn put(core: &Arc<Core>, message: Bytes) -> Result<EncodedMessage, Status> {
    let request: PutRequest = decode(message.clone())?;
    core.check_quota(quota::put_cost(&request)).await?;
    validate::put(&request)?;
    match core.process(RequestKind::Put, message).await? {
        Applied::Put { revision, prev_kv } => Ok(encode::put(&core.header(), revision, prev_kv)),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn delete_range(
    core: &Arc<Core>,
    message: Bytes,
) -> Result<EncodedMessage, Status> {
    let request: DeleteRangeRequest = decode(message.clone())?;
    validate::delete_range(&request)?;
    match core.process(RequestKind::DeleteRange, message).await? {
        Applied::DeleteRange {
            revision,
            deleted,
            prev_kvs,
        } => Ok(encode::delete_range(
            &core.header(),
            revision,
            deleted,
            prev_kvs,
        )),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn txn(core: &Arc<Core>, message: Bytes) -> Result<EncodedMessage, Status> {
    let request: TxnRequest = decode(message.clone())?;
    core.check_quota(quota::txn_cost(&request)).await?;
    validate::txn(&request, core.config().max_txn_ops)?;
    let applied = if only_reads(&request) {
        read_txn(core, request).await?
    } else {
        match core.process(RequestKind::Txn, message).await? {
            Applied::Txn(applied) => applied,
            other => return Err(unexpected(&other)),
        }
    };
    Ok(encode::txn(&core.header(), applied))
}

/// A transaction of ranges is answered here. One range that must be linearizable makes the whole
/// transaction so.
async fn read_txn(core: &Arc<Core>, request: TxnRequest) -> Result<TxnApplied, Status> {
    if !ranges(&request).all(|range| range.serializable) {
        core.linearizable_read().await?;
    }
    let core = Arc::clone(core);
    blocking(move || Ok(eval_read_only(&request, &core.store().read())?)).await
}

fn operations(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

fn ranges(request: &TxnRequest) -> impl Iterator<Item = &RangeRequest> {
    operations(request).filter_map(|op| match &op.request {
        Some(Request::RequestRange(range)) => Some(range),
        _ => None,
    })
}

/// Whether every operation at the top level is a range. Nested transactions go through the log even
/// if they only read, as in etcd.
fn only_reads(request: &TxnRequest) -> bool {
    operations(request).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

pub(super) async fn compact(core: &Arc<Core>, message: Bytes) -> Result<EncodedMessage, Status> {
    let request: CompactionRequest = decode(message.clone())?;
    let Applied::Compaction { revision, physical } =
        core.process(RequestKind::Compaction, message).await?
    else {
        return Err(Status::unknown("etcdserver: unknown method"));
    };
    if request.physical {
        // A sender that is gone means that the store closed before the rows were removed.
        physical.await.map_err(|_| RpcError::Stopped)?;
    }
    Ok(EncodedMessage::encode(&CompactionResponse {
        header: Some(header::message(&core.header(), revision)),
    }))
}

/// Runs what may take long, or read from disk, off the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Status::internal(format!("a worker thread failed: {e}"))))
}

/// The apply thread answered with something else than what was asked for: a defect, not the client's.
pub(super) fn unexpected(applied: &Applied) -> Status {
    Status::internal(format!("unexpected outcome of a proposal: {applied:?}"))
}

#[cfg(test)]
mod tests;
