//! What a request may cost in space. Source: etcd `server/storage/quota.go`.
use varve_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op::Request};

/// Bytes that a key costs beside its own and its value's.
const KV_OVERHEAD: u64 = 256;
/// Bytes that a lease costs.
pub(crate) const LEASE_COST: u64 = 64;

/// Bytes a put may add.
pub(crate) fn put_cost(put: &PutRequest) -> u64 {
    KV_OVERHEAD + put.key.len() as u64 + put.value.len() as u64
}

/// Bytes a transaction may add: those of its costlier branch.
pub(crate) fn txn_cost(txn: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| -> u64 {
        ops.iter()
            .map(|op| match &op.request {
                Some(Request::RequestPut(put)) => put_cost(put),
                Some(Request::RequestTxn(inner)) => txn_cost(inner),
                _ => 0,
            })
            .sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}

#[cfg(test)]
mod tests;
