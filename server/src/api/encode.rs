//! Responses of KV, made of the stored bytes.
//!
//! What the store keeps under a revision is an encoded `mvccpb.KeyValue`, and that is what responses
//! embed: the pairs are framed and handed on, never decoded. Sizes are added up first, because a
//! message inside another begins with its length.

use bytes::Bytes;
use varve_mvcc::RangeResult;
use varve_proto::wire;

use super::header::{INNER, header_len, put_header};
use crate::apply::{OpApplied, TxnApplied};
use crate::core::Header;
use crate::rpc::{EncodedMessage, MessageBuilder};

/// Field numbers of `ResponseOp`, which are those of `RequestOp` as well.
const OP_RANGE: u32 = 1;
const OP_PUT: u32 = 2;
const OP_DELETE_RANGE: u32 = 3;
const OP_TXN: u32 = 4;

/// `RangeResponse`.
pub(super) fn range(header: &Header, result: RangeResult) -> EncodedMessage {
    let mut out = MessageBuilder::with_capacity(buffered(range_len(header, &result), &result.kvs));
    put_range(&mut out, header, result);
    out.finish()
}

/// `PutResponse`.
pub(super) fn put(header: &Header, revision: i64, prev_kv: Option<Bytes>) -> EncodedMessage {
    let mut out = MessageBuilder::with_capacity(put_len(header, revision, prev_kv.as_ref()));
    put_put(&mut out, header, revision, prev_kv);
    out.finish()
}

/// `DeleteRangeResponse`.
pub(super) fn delete_range(
    header: &Header,
    revision: i64,
    deleted: i64,
    prev_kvs: Vec<Bytes>,
) -> EncodedMessage {
    let len = delete_len(header, revision, deleted, &prev_kvs);
    let mut out = MessageBuilder::with_capacity(buffered(len, &prev_kvs));
    put_delete(&mut out, header, revision, deleted, prev_kvs);
    out.finish()
}

/// `TxnResponse`.
pub(super) fn txn(header: &Header, applied: TxnApplied) -> EncodedMessage {
    let mut out = MessageBuilder::with_capacity(256);
    put_txn(
        &mut out,
        header,
        applied.revision,
        applied.succeeded,
        applied.responses,
    );
    out.finish()
}

/// What to reserve where the pairs are shared and not copied: everything but the pairs, and some.
fn buffered(len: usize, kvs: &[Bytes]) -> usize {
    let shared: usize = kvs.iter().map(Bytes::len).sum();
    if shared <= 16 * 1024 {
        len
    } else {
        len - shared + 16 * 1024
    }
}

fn kvs_len(field: u32, kvs: &[Bytes]) -> usize {
    kvs.iter()
        .map(|kv| wire::len_delimited_size(field, kv.len()))
        .sum()
}

fn put_kvs(out: &mut MessageBuilder, field: u32, kvs: Vec<Bytes>) {
    for kv in kvs {
        wire::put_len_delimited_head(out.buf(), field, kv.len());
        out.push(kv);
    }
}

fn range_len(header: &Header, result: &RangeResult) -> usize {
    header_len(header, result.revision)
        + kvs_len(2, &result.kvs)
        + wire::field_size(3, u64::from(result.more))
        + wire::field_size(4, result.count.cast_unsigned())
}

fn put_range(out: &mut MessageBuilder, header: &Header, result: RangeResult) {
    put_header(out.buf(), header, result.revision);
    put_kvs(out, 2, result.kvs);
    wire::put_bool(out.buf(), 3, result.more);
    wire::put_int64(out.buf(), 4, result.count);
}

fn put_len(header: &Header, revision: i64, prev_kv: Option<&Bytes>) -> usize {
    header_len(header, revision) + prev_kv.map_or(0, |kv| wire::len_delimited_size(2, kv.len()))
}

fn put_put(out: &mut MessageBuilder, header: &Header, revision: i64, prev_kv: Option<Bytes>) {
    put_header(out.buf(), header, revision);
    if let Some(kv) = prev_kv {
        wire::put_len_delimited_head(out.buf(), 2, kv.len());
        out.push(kv);
    }
}

fn delete_len(header: &Header, revision: i64, deleted: i64, prev_kvs: &[Bytes]) -> usize {
    header_len(header, revision)
        + wire::field_size(2, deleted.cast_unsigned())
        + kvs_len(3, prev_kvs)
}

fn put_delete(
    out: &mut MessageBuilder,
    header: &Header,
    revision: i64,
    deleted: i64,
    prev_kvs: Vec<Bytes>,
) {
    put_header(out.buf(), header, revision);
    wire::put_int64(out.buf(), 2, deleted);
    put_kvs(out, 3, prev_kvs);
}

/// The revision in the header of a nested transaction is not filled in by etcd.
const NESTED_REVISION: i64 = 0;

fn txn_len(header: &Header, revision: i64, txn: &TxnApplied) -> usize {
    header_len(header, revision)
        + wire::field_size(2, u64::from(txn.succeeded))
        + txn
            .responses
            .iter()
            .map(|op| wire::len_delimited_size(3, response_op_len(op)))
            .sum::<usize>()
}

fn put_txn(
    out: &mut MessageBuilder,
    header: &Header,
    revision: i64,
    succeeded: bool,
    responses: Vec<OpApplied>,
) {
    put_header(out.buf(), header, revision);
    wire::put_bool(out.buf(), 2, succeeded);
    for op in responses {
        wire::put_len_delimited_head(out.buf(), 3, response_op_len(&op));
        put_response_op(out, op);
    }
}

/// The field of `ResponseOp` that is set, and the length of its message.
fn response_op_content(op: &OpApplied) -> (u32, usize) {
    match op {
        OpApplied::Range(result) => (OP_RANGE, range_len(&INNER, result)),
        OpApplied::Put { revision, prev_kv } => {
            (OP_PUT, put_len(&INNER, *revision, prev_kv.as_ref()))
        }
        OpApplied::DeleteRange {
            revision,
            deleted,
            prev_kvs,
        } => (
            OP_DELETE_RANGE,
            delete_len(&INNER, *revision, *deleted, prev_kvs),
        ),
        OpApplied::Txn(inner) => (OP_TXN, txn_len(&INNER, NESTED_REVISION, inner)),
    }
}

fn response_op_len(op: &OpApplied) -> usize {
    let (field, len) = response_op_content(op);
    wire::len_delimited_size(field, len)
}

fn put_response_op(out: &mut MessageBuilder, op: OpApplied) {
    let (field, len) = response_op_content(&op);
    wire::put_len_delimited_head(out.buf(), field, len);
    match op {
        OpApplied::Range(result) => put_range(out, &INNER, result),
        OpApplied::Put { revision, prev_kv } => put_put(out, &INNER, revision, prev_kv),
        OpApplied::DeleteRange {
            revision,
            deleted,
            prev_kvs,
        } => {
            put_delete(out, &INNER, revision, deleted, prev_kvs);
        }
        OpApplied::Txn(inner) => {
            put_txn(
                out,
                &INNER,
                NESTED_REVISION,
                inner.succeeded,
                inner.responses,
            );
        }
    }
}

#[cfg(test)]
mod tests;
