//! Transactions: which branch runs, whether it may, and running it.
//!
//! Source of the semantics: etcd `server/etcdserver/txn/txn.go`. All comparisons, nested ones too, are
//! decided on the state before the transaction; then every operation on the chosen path is checked
//! against that same state, so that a transaction that cannot run whole does not run at all.
use std::cmp::Ordering;

use bytes::Bytes;
use varve_mvcc::{Lessor, RangeOptions, RangeResult, ReadView, WriteTxn};
use varve_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use varve_proto::etcdserverpb::request_op::Request;
use varve_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use varve_proto::wire::KeyValueView;

use super::convert::{range_options, single_key};
use super::error::ApplyError;
use super::outcome::{OpApplied, TxnApplied};
use crate::rpc::RpcError;

/// What both a snapshot and a write transaction can read.
pub(crate) trait Reader {
    fn range(&self, options: &RangeOptions) -> varve_mvcc::Result<RangeResult>;
    fn revision(&self) -> i64;
    fn compact_revision(&self) -> i64;
}

impl Reader for ReadView {
    fn range(&self, options: &RangeOptions) -> varve_mvcc::Result<RangeResult> {
        self.range(options)
    }
    fn revision(&self) -> i64 {
        self.revision()
    }
    fn compact_revision(&self) -> i64 {
        self.compact_revision()
    }
}

impl Reader for WriteTxn<'_> {
    fn range(&self, options: &RangeOptions) -> varve_mvcc::Result<RangeResult> {
        self.range(options)
    }
    fn revision(&self) -> i64 {
        self.revision()
    }
    fn compact_revision(&self) -> i64 {
        self.compact_revision()
    }
}

/// The branches that run: of a transaction, then of its nested ones, in order.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

/// Runs a transaction inside a write.
pub(crate) fn apply_txn(
    txn: &mut WriteTxn<'_>,
    lessor: &Lessor,
    request: TxnRequest,
) -> Result<TxnApplied, ApplyError> {
    let path = choose(txn, &request)?;
    check(txn, &request, &path, Some(lessor))?;
    let mut applied = run(txn, request, path)?;
    applied.revision = txn.revision() + i64::from(txn.changes() > 0);
    Ok(applied)
}

/// Evaluates a transaction that only reads (every operation is a range).
pub(crate) fn eval_read_only(
    request: &TxnRequest,
    view: &ReadView,
) -> Result<TxnApplied, ApplyError> {
    let path = choose(view, request)?;
    check(view, request, &path, None)?;
    let mut responses = Vec::new();
    for op in branch(request, path.succeeded) {
        if let Some(Request::RequestRange(range)) = &op.request {
            responses.push(OpApplied::Range(view.range(&range_options(range))?));
        }
    }
    Ok(TxnApplied {
        revision: view.revision(),
        succeeded: path.succeeded,
        responses,
    })
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

fn choose(reader: &impl Reader, request: &TxnRequest) -> Result<Path, ApplyError> {
    let mut succeeded = true;
    for compare in &request.compare {
        if !holds(reader, compare)? {
            succeeded = false;
            break;
        }
    }
    let mut nested = Vec::new();
    for op in branch(request, succeeded) {
        if let Some(Request::RequestTxn(inner)) = &op.request {
            nested.push(choose(reader, inner)?);
        }
    }
    Ok(Path { succeeded, nested })
}

/// Whether a comparison holds for every key of its range; a missing key counts as one with all
/// numbers zero, except that a comparison of values never holds for it.
fn holds(reader: &impl Reader, compare: &Compare) -> Result<bool, ApplyError> {
    let options = RangeOptions {
        key: compare.key.clone(),
        end: compare.range_end.clone(),
        ..RangeOptions::default()
    };
    let found = reader.range(&options)?;
    if found.kvs.is_empty() {
        if compare.target() == CompareTarget::Value {
            return Ok(false);
        }
        return Ok(matches(compare, &KeyValueView::default()));
    }
    for kv in &found.kvs {
        let view = KeyValueView::parse(kv)?;
        if !matches(compare, &view) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn matches(compare: &Compare, kv: &KeyValueView<'_>) -> bool {
    let number = |wanted: Option<i64>, actual: i64| actual.cmp(&wanted.unwrap_or(0));
    let union = compare.target_union.as_ref();
    let ordering = match compare.target() {
        CompareTarget::Version => number(
            union.and_then(|u| {
                if let TargetUnion::Version(n) = u {
                    Some(*n)
                } else {
                    None
                }
            }),
            kv.version,
        ),
        CompareTarget::Create => number(
            union.and_then(|u| {
                if let TargetUnion::CreateRevision(n) = u {
                    Some(*n)
                } else {
                    None
                }
            }),
            kv.create_revision,
        ),
        CompareTarget::Mod => number(
            union.and_then(|u| {
                if let TargetUnion::ModRevision(n) = u {
                    Some(*n)
                } else {
                    None
                }
            }),
            kv.mod_revision,
        ),
        CompareTarget::Lease => number(
            union.and_then(|u| {
                if let TargetUnion::Lease(n) = u {
                    Some(*n)
                } else {
                    None
                }
            }),
            kv.lease,
        ),
        CompareTarget::Value => {
            let wanted: &[u8] = match union {
                Some(TargetUnion::Value(v)) => v,
                _ => &[],
            };
            kv.value.cmp(wanted)
        }
    };
    match compare.result() {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}

/// Refuses a transaction of which some operation on the chosen path could not run. Without a lessor
/// the transaction only reads.
fn check<R: Reader>(
    reader: &R,
    request: &TxnRequest,
    path: &Path,
    lessor: Option<&Lessor>,
) -> Result<(), ApplyError> {
    let mut nested = path.nested.iter();
    for op in branch(request, path.succeeded) {
        match &op.request {
            Some(Request::RequestRange(range)) => check_range(reader, range)?,
            Some(Request::RequestPut(put)) => {
                if let Some(lessor) = lessor {
                    check_put(reader, put, lessor)?;
                }
            }
            Some(Request::RequestTxn(inner)) => {
                if let Some(path) = nested.next() {
                    check(reader, inner, path, lessor)?;
                }
            }
            Some(Request::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

fn check_range(reader: &impl Reader, range: &RangeRequest) -> Result<(), ApplyError> {
    if range.revision == 0 {
        Ok(())
    } else if range.revision > reader.revision() {
        Err(RpcError::FutureRev.into())
    } else if range.revision < reader.compact_revision() {
        Err(RpcError::Compacted.into())
    } else {
        Ok(())
    }
}

pub(crate) fn check_put(
    reader: &impl Reader,
    put: &PutRequest,
    lessor: &Lessor,
) -> Result<(), ApplyError> {
    if (put.ignore_value || put.ignore_lease)
        && reader
            .range(&RangeOptions {
                count_only: true,
                ..single_key(&put.key)
            })?
            .count
            == 0
    {
        return Err(RpcError::KeyNotFound.into());
    }
    if put.lease != 0 && !lessor.lookup(put.lease) {
        return Err(RpcError::LeaseNotFound.into());
    }
    Ok(())
}

fn run(txn: &mut WriteTxn<'_>, request: TxnRequest, path: Path) -> Result<TxnApplied, ApplyError> {
    let ops = if path.succeeded {
        request.success
    } else {
        request.failure
    };
    let mut responses = Vec::with_capacity(ops.len());
    let mut nested = path.nested.into_iter();
    for op in ops {
        responses.push(match op.request {
            Some(Request::RequestRange(range)) => {
                OpApplied::Range(txn.range(&range_options(&range))?)
            }
            Some(Request::RequestPut(request)) => {
                let prev_kv = put(txn, request)?;
                OpApplied::Put {
                    revision: txn.revision() + 1,
                    prev_kv,
                }
            }
            Some(Request::RequestDeleteRange(request)) => {
                let (deleted, prev_kvs) = delete_range(txn, &request)?;
                let revision = txn.revision() + i64::from(txn.changes() > 0);
                OpApplied::DeleteRange {
                    revision,
                    deleted,
                    prev_kvs,
                }
            }
            Some(Request::RequestTxn(inner)) => {
                // One path per nested transaction of this branch, made by `choose`.
                let Some(path) = nested.next() else { continue };
                OpApplied::Txn(run(txn, inner, path)?)
            }
            None => continue,
        });
    }
    Ok(TxnApplied {
        revision: 0,
        succeeded: path.succeeded,
        responses,
    })
}

/// Stores a pair; the pair it replaced, if that was asked for. Checked by [`check_put`] before.
pub(crate) fn put(
    txn: &mut WriteTxn<'_>,
    request: PutRequest,
) -> Result<Option<Bytes>, ApplyError> {
    let mut previous = None;
    if request.prev_kv || request.ignore_value || request.ignore_lease {
        previous = txn.range(&single_key(&request.key))?.kvs.pop();
    }
    let (mut value, mut lease) = (request.value, request.lease);
    if request.ignore_value || request.ignore_lease {
        let kv = previous.as_ref().ok_or(RpcError::KeyNotFound)?;
        let view = KeyValueView::parse(kv)?;
        if request.ignore_value {
            value = kv.slice_ref(view.value);
        }
        if request.ignore_lease {
            lease = view.lease;
        }
    }
    txn.put(request.key, value, lease)?;
    Ok(previous.filter(|_| request.prev_kv))
}

/// Deletes a range: how many keys, and the pairs if they were asked for.
pub(crate) fn delete_range(
    txn: &mut WriteTxn<'_>,
    request: &DeleteRangeRequest,
) -> Result<(i64, Vec<Bytes>), ApplyError> {
    let mut previous = Vec::new();
    if request.prev_kv {
        let options = RangeOptions {
            key: request.key.clone(),
            end: request.range_end.clone(),
            ..RangeOptions::default()
        };
        previous = txn.range(&options)?.kvs;
    }
    Ok((
        txn.delete_range(&request.key, &request.range_end)?,
        previous,
    ))
}
