//! What etcd's service layer refuses before anything is proposed or read.
//!
//! Pure functions over requests, called by the handlers after the quota check and before the
//! overload check.
//!
//! # Invariants
//!
//! 1. A transaction nested to any depth costs time that grows with the number of its operations
//!    times their depth, never with the number of pairs.
//!
//! # Not here
//!
//! What depends on state: revisions, leases, permissions. What is repaired rather than refused, such
//! as a watch without a key.

mod overlap;

use varve_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use varve_proto::etcdserverpb::request_op::Request;
use varve_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use crate::config::Url;
use crate::rpc::{Code, RpcError, Status};

/// A Range needs a key and an order that exists.
pub(crate) fn range(request: &RangeRequest) -> Result<(), RpcError> {
    if request.key.is_empty() {
        return Err(RpcError::EmptyKey);
    }
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if known {
        Ok(())
    } else {
        Err(RpcError::InvalidSortOption)
    }
}

/// A `RangeStream` can neither sort nor filter.
#[allow(dead_code, reason = "RangeStream is not served yet")]
pub(crate) fn range_stream(request: &RangeRequest) -> Result<(), Status> {
    range(request)?;
    let unsupported = |text: &'static str| Err(Status::new(Code::Unimplemented, text));
    if !is_natural_order(request) {
        return unsupported("RangeStream does not support custom sort orders");
    }
    if has_revision_bounds(request) {
        return unsupported("RangeStream does not support revision filters");
    }
    Ok(())
}

/// Whether the keys' own order is the one asked for.
///
/// A target other than the key without an order counts as natural here, while Range sorts it.
#[allow(dead_code, reason = "RangeStream is not served yet")]
pub(crate) fn is_natural_order(request: &RangeRequest) -> bool {
    let (order, target) = (request.sort_order, request.sort_target);
    order == SortOrder::None as i32
        || (target == SortTarget::Key as i32 && order == SortOrder::Ascend as i32)
}

/// Whether any of the four filters is set.
#[allow(dead_code, reason = "RangeStream is not served yet")]
pub(crate) const fn has_revision_bounds(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// A Put needs a key, and may not give what it wants kept.
pub(crate) const fn put(request: &PutRequest) -> Result<(), RpcError> {
    if request.key.is_empty() {
        return Err(RpcError::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(RpcError::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(RpcError::LeaseProvided);
    }
    Ok(())
}

/// A `DeleteRange` needs a key.
pub(crate) const fn delete_range(request: &DeleteRangeRequest) -> Result<(), RpcError> {
    if request.key.is_empty() {
        Err(RpcError::EmptyKey)
    } else {
        Ok(())
    }
}

/// A transaction stays within `max_ops`, its operations pass their own checks, and no branch writes
/// a key twice.
pub(crate) fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), RpcError> {
    // The limit first: it bounds the work of the second check.
    txn_ops(request, max_ops)?;
    overlap::check(&request.success)?;
    overlap::check(&request.failure)
}

/// The longest of the three lists counts against the limit; what is left is a nested one's limit.
fn txn_ops(request: &TxnRequest, max_ops: usize) -> Result<(), RpcError> {
    let count = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let left = max_ops.checked_sub(count).ok_or(RpcError::TooManyOps)?;
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(RpcError::EmptyKey);
    }
    request
        .success
        .iter()
        .chain(&request.failure)
        .try_for_each(|op| txn_op(op, left))
}

fn txn_op(op: &RequestOp, max_ops: usize) -> Result<(), RpcError> {
    match &op.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete_range(request),
        Some(Request::RequestTxn(request)) => txn_ops(request, max_ops),
        None => Err(RpcError::KeyNotFound),
    }
}

/// The peer URLs of a member to add, sorted. An update's are not checked, in etcd neither.
#[allow(dead_code, reason = "members are not added yet")]
pub(crate) fn member_urls(urls: &[String]) -> Result<Vec<Url>, RpcError> {
    let mut parsed = urls
        .iter()
        .map(|url| Url::parse(url.trim()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| RpcError::MemberBadUrls)?;
    if parsed.is_empty() {
        return Err(RpcError::MemberBadUrls);
    }
    parsed.sort();
    Ok(parsed)
}

#[cfg(test)]
mod tests;
