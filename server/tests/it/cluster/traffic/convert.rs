//! Between the history's words and etcd's.

use bytes::Bytes;
use tonic::{Code, Status};
use varve_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use varve_proto::etcdserverpb::request_op::Request;
use varve_proto::etcdserverpb::response_op::Response;
use varve_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
    TxnResponse, WatchCreateRequest, WatchResponse,
};
use varve_proto::mvccpb::KeyValue;
use varve_proto::mvccpb::event::EventType;
use varve_sim::history::{Answer, Batch, Call, Event, Notice, Outcome, Seen, Span, Stored, Write};

use super::client::Kv;

/// `key` and `range_end`.
fn bounds(span: &Span) -> (Bytes, Bytes) {
    match span {
        Span::Key(key) => (key.clone(), Bytes::new()),
        Span::Prefix(prefix) if prefix.is_empty() => {
            (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"))
        }
        Span::Prefix(prefix) => {
            let mut end = prefix.to_vec();
            *end.last_mut().unwrap() += 1;
            (prefix.clone(), end.into())
        }
    }
}

fn put(key: &Bytes, value: &Bytes, lease: i64) -> PutRequest {
    PutRequest {
        key: key.clone(),
        value: value.clone(),
        lease,
        ..PutRequest::default()
    }
}

fn delete(span: &Span) -> DeleteRangeRequest {
    let (key, range_end) = bounds(span);
    DeleteRangeRequest {
        key,
        range_end,
        prev_kv: false,
    }
}

fn range(span: &Span, serializable: bool, revision: i64) -> RangeRequest {
    let (key, range_end) = bounds(span);
    RangeRequest {
        key,
        range_end,
        serializable,
        revision,
        ..RangeRequest::default()
    }
}

fn txn(compare: &[(Bytes, i64)], then: &[Write]) -> TxnRequest {
    let op = |request| RequestOp {
        request: Some(request),
    };
    TxnRequest {
        compare: compare
            .iter()
            .map(|(key, revision)| Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Mod.into(),
                key: key.clone(),
                target_union: Some(TargetUnion::ModRevision(*revision)),
                ..Compare::default()
            })
            .collect(),
        success: then
            .iter()
            .map(|write| match write {
                Write::Put { key, value, lease } => {
                    op(Request::RequestPut(put(key, value, *lease)))
                }
                Write::Delete(span) => op(Request::RequestDeleteRange(delete(span))),
            })
            .collect(),
        failure: compare
            .iter()
            .map(|(key, _)| {
                op(Request::RequestRange(range(
                    &Span::Key(key.clone()),
                    false,
                    0,
                )))
            })
            .collect(),
    }
}

fn stored(kv: KeyValue) -> Stored {
    Stored {
        key: kv.key,
        value: kv.value,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

/// What a member answers: its header, and what is to be seen.
type Answered = (Option<ResponseHeader>, Seen);

fn txn_answer(response: TxnResponse) -> Answered {
    let (mut deleted, mut found) = (0, Vec::new());
    for response in response.responses {
        match response.response.unwrap() {
            Response::ResponseDeleteRange(response) => deleted += response.deleted.unsigned_abs(),
            Response::ResponseRange(response) => found.extend(response.kvs.into_iter().map(stored)),
            Response::ResponsePut(_) | Response::ResponseTxn(_) => {}
        }
    }
    let seen = if response.succeeded {
        Seen::Then(deleted)
    } else {
        Seen::Else(found)
    };
    (response.header, seen)
}

async fn answered(kv: &mut Kv, call: &Call) -> Result<Answered, Status> {
    Ok(match call {
        Call::Write(Write::Put { key, value, lease }) => {
            let response = kv.put(put(key, value, *lease)).await?.into_inner();
            (response.header, Seen::Put)
        }
        Call::Write(Write::Delete(span)) => {
            let response = kv.delete_range(delete(span)).await?.into_inner();
            (
                response.header,
                Seen::Deleted(response.deleted.unsigned_abs()),
            )
        }
        Call::Range {
            span,
            serializable,
            at,
        } => {
            let response = kv
                .range(range(span, *serializable, *at))
                .await?
                .into_inner();
            let found = response.kvs.into_iter().map(stored).collect();
            (response.header, Seen::Pairs(found))
        }
        Call::Txn { compare, then } => txn_answer(kv.txn(txn(compare, then)).await?.into_inner()),
    })
}

/// Asks and tells what came of it, and the term in which it was answered.
pub(super) async fn ask(kv: &mut Kv, call: &Call) -> (Outcome, Option<u64>) {
    let outcome = match answered(kv, call).await {
        Ok((header, seen)) => {
            let header = header.unwrap();
            let revision = header.revision;
            return (
                Outcome::Ok(Answer { revision, seen }),
                Some(header.raft_term),
            );
        }
        Err(_) if call.writes().is_empty() => Outcome::Failed,
        Err(status) => match status.code() {
            // Refused for what it is, before or while it is applied: it changes nothing.
            Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound => Outcome::Failed,
            // A time-out, a leader that is gone, a connection that broke: nobody knows. A request that
            // goes beyond the quota while it is applied is refused and done.
            _ => Outcome::Unknown,
        },
    };
    (outcome, None)
}

/// The request that begins a watch.
pub(super) fn create(span: &Span, from: i64, prev_kv: bool) -> WatchCreateRequest {
    let (key, range_end) = bounds(span);
    WatchCreateRequest {
        key,
        range_end,
        start_revision: from,
        prev_kv,
        ..WatchCreateRequest::default()
    }
}

/// What a watch tells.
pub(super) fn batch(response: WatchResponse) -> Batch {
    let notice = |event: varve_proto::mvccpb::Event| {
        let kv = event.kv.clone().unwrap();
        Notice {
            event: match event.r#type() {
                EventType::Put => Event::Put(stored(kv)),
                EventType::Delete => Event::Delete {
                    key: kv.key,
                    revision: kv.mod_revision,
                },
            },
            previous: event.prev_kv.map(stored),
        }
    };
    Batch {
        revision: response.header.unwrap().revision,
        notices: response.events.into_iter().map(notice).collect(),
    }
}
