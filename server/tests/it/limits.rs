//! Limits and refusals as etcd has them: codes and texts equal, nothing applied.
//!
//! Every row also holds for a real etcd 3.5.1 (`VARVE_TEST_BINARY`).

use bytes::Bytes;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Endpoint;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{
    CompactionRequest, Compare, HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    WatchCreateRequest, WatchRequest,
};
use varve_proto::prost::Message;

use crate::client::{
    Client, assert_refused, block_on, delete, everything, get, op_delete, op_put, op_range, op_txn,
    put, revision, txn,
};
use crate::harness::{Member, is_varve, scratch, skipped};

const MAX_REQUEST_BYTES: usize = 3 << 19;
const GRPC_OVERHEAD_BYTES: usize = 512 << 10;
const MAX_TXN_OPS: usize = 128;

/// Runs `body` against a fresh server and expects that it left no trace: the revision stands
/// where `body` says.
fn with_server(body: impl AsyncFn(&mut Client) -> i64) {
    let dir = scratch();
    let server = Member::new(dir.path()).start();
    block_on(async {
        let mut client = Client::connect(&server).await;
        let expected = body(&mut client).await;
        let all = client.all(0).await;
        assert_eq!(
            revision(all.header),
            expected,
            "a refused request left a trace"
        );
    });
    server.stop();
}

#[test]
fn requests_up_to_a_megabyte_and_a_half_pass_and_larger_ones_are_refused() {
    with_server(async |client| {
        let value = |len: usize| PutRequest {
            value: vec![b'x'; len].into(),
            ..put("big", "")
        };
        // What surrounds the value in the log entry is less than 64 bytes.
        client.kv.put(value(MAX_REQUEST_BYTES - 64)).await.unwrap();
        let answer = client.kv.put(value(MAX_REQUEST_BYTES)).await;
        assert_refused(
            answer,
            Code::InvalidArgument,
            "etcdserver: request is too large",
        );

        // Past the receive limit the request is not even read.
        let limit = MAX_REQUEST_BYTES + GRPC_OVERHEAD_BYTES;
        let too_big = value(limit);
        let len = too_big.encoded_len();
        let answer = client.kv.put(too_big).await;
        let text = format!("grpc: received message larger than max ({len} vs. {limit})");
        assert_refused(answer, Code::ResourceExhausted, &text);

        // The connection is as good as before.
        let big = client.kv.range(get("big")).await.unwrap().into_inner();
        assert_eq!(big.kvs[0].value.len(), MAX_REQUEST_BYTES - 64);
        2
    });
}

#[test]
fn a_transaction_has_at_most_128_operations_in_each_list() {
    const TEXT: &str = "etcdserver: too many operations in txn request";
    with_server(async |client| {
        let puts = |n: usize| (0..n).map(|i| op_put(put(&format!("t/{i:03}"), "v")));
        let compares = |n: usize| {
            vec![
                Compare {
                    key: Bytes::from_static(b"t"),
                    ..Default::default()
                };
                n
            ]
        };
        client.kv.txn(txn(puts(MAX_TXN_OPS))).await.unwrap();
        let full = TxnRequest {
            compare: compares(MAX_TXN_OPS),
            ..txn(puts(1))
        };
        client.kv.txn(full).await.unwrap();

        let too_many = txn(puts(MAX_TXN_OPS + 1));
        let failure = TxnRequest {
            failure: too_many.success.clone(),
            ..Default::default()
        };
        let compare = TxnRequest {
            compare: compares(MAX_TXN_OPS + 1),
            ..Default::default()
        };
        // A nested transaction gets what its parent left.
        let inner = txn(puts(MAX_TXN_OPS));
        let nested = txn([op_put(put("outer", "v")), op_txn(inner)]);
        for request in [too_many, failure, compare, nested] {
            assert_refused(client.kv.txn(request).await, Code::InvalidArgument, TEXT);
        }
        let all = client.kv.range(everything()).await.unwrap().into_inner();
        assert_eq!(all.count, i64::try_from(MAX_TXN_OPS).unwrap());
        3
    });
}

#[test]
fn an_empty_key_is_refused_wherever_a_key_is_asked_for() {
    const TEXT: &str = "etcdserver: key is not provided";
    with_server(async |client| {
        let code = Code::InvalidArgument;
        assert_refused(client.kv.put(put("", "v")).await, code, TEXT);
        assert_refused(client.kv.range(get("")).await, code, TEXT);
        assert_refused(client.kv.delete_range(delete("")).await, code, TEXT);
        for op in [
            op_put(put("", "v")),
            op_range(get("")),
            op_delete(delete("")),
        ] {
            assert_refused(client.kv.txn(txn([op.clone()])).await, code, TEXT);
            let failure = TxnRequest {
                failure: vec![op.clone()],
                ..Default::default()
            };
            assert_refused(client.kv.txn(failure).await, code, TEXT);
            let nested = txn([op_txn(txn([op]))]);
            assert_refused(client.kv.txn(nested).await, code, TEXT);
        }
        let compare = TxnRequest {
            compare: vec![Compare::default()],
            ..Default::default()
        };
        assert_refused(client.kv.txn(compare).await, code, TEXT);
        1
    });
}

#[test]
fn a_transaction_may_write_a_key_once() {
    const TEXT: &str = "etcdserver: duplicate key given in txn request";
    with_server(async |client| {
        let prefix = |key: &str, end: &str| {
            op_delete(varve_proto::etcdserverpb::DeleteRangeRequest {
                range_end: Bytes::copy_from_slice(end.as_bytes()),
                ..delete(key)
            })
        };
        let p = |key: &str| op_put(put(key, "v"));
        let refused = [
            txn([p("k"), p("k")]),
            txn([p("k/1"), prefix("k/", "k0")]),
            txn([prefix("k/", "k0"), p("k/1")]),
            txn([p("k"), op_delete(delete("k"))]),
            txn([p("k"), op_txn(txn([p("k")]))]),
            TxnRequest {
                failure: vec![p("k"), p("k")],
                ..Default::default()
            },
        ];
        for request in refused {
            let answer = client.kv.txn(request.clone()).await;
            let status = answer.expect_err(&format!("accepted: {request:?}"));
            assert_eq!(
                (status.code(), status.message()),
                (Code::InvalidArgument, TEXT)
            );
        }
        // Overlapping deletes may be, and the two branches of a transaction never both run.
        let both = TxnRequest {
            failure: vec![p("k")],
            ..txn([p("k")])
        };
        client.kv.txn(both).await.unwrap();
        client
            .kv
            .txn(txn([op_delete(delete("k")), prefix("k", "l")]))
            .await
            .unwrap();
        3
    });
}

#[test]
fn unknown_and_used_leases_are_refused() {
    const NOT_FOUND: &str = "etcdserver: requested lease not found";
    with_server(async |client| {
        let leased = PutRequest {
            lease: 404,
            ..put("k", "v")
        };
        assert_refused(
            client.kv.put(leased.clone()).await,
            Code::NotFound,
            NOT_FOUND,
        );
        // A transaction stops as a whole.
        let both = txn([op_put(put("other", "v")), op_put(leased)]);
        assert_refused(client.kv.txn(both).await, Code::NotFound, NOT_FOUND);
        let revoke = LeaseRevokeRequest { id: 404 };
        assert_refused(
            client.lease.lease_revoke(revoke).await,
            Code::NotFound,
            NOT_FOUND,
        );

        let ask = LeaseTimeToLiveRequest {
            id: 404,
            keys: true,
        };
        let lease = client
            .lease
            .lease_time_to_live(ask)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((lease.id, lease.ttl, lease.granted_ttl), (404, -1, 0));
        let alive = tokio_stream::once(LeaseKeepAliveRequest { id: 404 });
        let mut alive = client
            .lease
            .lease_keep_alive(alive)
            .await
            .unwrap()
            .into_inner();
        let answer = alive.message().await.unwrap().unwrap();
        assert_eq!((answer.id, answer.ttl), (404, 0));

        assert_eq!(client.grant(1000, 7).await, 7);
        let again = client
            .lease
            .lease_grant(LeaseGrantRequest { ttl: 1000, id: 7 })
            .await;
        assert_refused(
            again,
            Code::FailedPrecondition,
            "etcdserver: lease already exists",
        );
        let long = client
            .lease
            .lease_grant(LeaseGrantRequest {
                ttl: 9_000_000_001,
                id: 0,
            })
            .await;
        assert_refused(long, Code::OutOfRange, "etcdserver: too large lease TTL");
        1
    });
}

#[test]
fn ignored_fields_must_not_be_given_and_need_a_key() {
    with_server(async |client| {
        let code = Code::InvalidArgument;
        let value = PutRequest {
            ignore_value: true,
            ..put("k", "v")
        };
        assert_refused(
            client.kv.put(value).await,
            code,
            "etcdserver: value is provided",
        );
        let lease = PutRequest {
            ignore_lease: true,
            lease: 7,
            ..put("k", "v")
        };
        assert_refused(
            client.kv.put(lease).await,
            code,
            "etcdserver: lease is provided",
        );
        for missing in [
            PutRequest {
                ignore_value: true,
                ..put("k", "")
            },
            PutRequest {
                ignore_lease: true,
                ..put("k", "v")
            },
        ] {
            let answer = client.kv.put(missing.clone()).await;
            assert_refused(answer, code, "etcdserver: key not found");
            let answer = client.kv.txn(txn([op_put(missing)])).await;
            assert_refused(answer, code, "etcdserver: key not found");
        }
        let none = txn([RequestOp { request: None }]);
        assert_refused(client.kv.txn(none).await, code, "etcdserver: key not found");
        1
    });
}

#[test]
fn compacted_and_future_revisions_are_refused() {
    const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
    const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
    with_server(async |client| {
        for i in 0..9 {
            client.put("k", &i.to_string()).await;
        }
        let at = |revision| RangeRequest {
            revision,
            ..get("k")
        };
        let compact = |revision| CompactionRequest {
            revision,
            physical: true,
        };
        let code = Code::OutOfRange;
        assert_refused(client.kv.range(at(11)).await, code, FUTURE);
        assert_refused(client.kv.compact(compact(11)).await, code, FUTURE);
        client.kv.compact(compact(5)).await.unwrap();
        assert_refused(client.kv.compact(compact(5)).await, code, COMPACTED);
        assert_refused(client.kv.compact(compact(0)).await, code, COMPACTED);
        assert_refused(client.kv.range(at(4)).await, code, COMPACTED);
        let range_in_txn = |revision| txn([op_put(put("x", "v")), op_range(at(revision))]);
        assert_refused(client.kv.txn(range_in_txn(4)).await, code, COMPACTED);
        assert_refused(client.kv.txn(range_in_txn(12)).await, code, FUTURE);
        let hash = |revision| HashKvRequest { revision };
        assert_refused(client.maintenance.hash_kv(hash(4)).await, code, COMPACTED);
        assert_refused(client.maintenance.hash_kv(hash(11)).await, code, FUTURE);
        // The compaction revision itself is still there.
        let kept = client.kv.range(at(5)).await.unwrap().into_inner();
        assert_eq!(
            (kept.kvs[0].mod_revision, &kept.kvs[0].value[..]),
            (5, &b"3"[..])
        );
        assert_eq!(revision(kept.header), 10);
        10
    });
}

#[test]
fn a_watch_from_a_compacted_revision_is_created_and_canceled() {
    with_server(async |client| {
        for i in 0..9 {
            client.put("k", &i.to_string()).await;
        }
        client
            .kv
            .compact(CompactionRequest {
                revision: 5,
                physical: true,
            })
            .await
            .unwrap();
        let create = WatchCreateRequest {
            key: Bytes::from_static(b"k"),
            start_revision: 3,
            ..Default::default()
        };
        let union = RequestUnion::CreateRequest(create);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender
            .send(WatchRequest {
                request_union: Some(union),
            })
            .await
            .unwrap();
        let answers = client
            .watch
            .watch(ReceiverStream::new(receiver))
            .await
            .unwrap();
        let mut answers = answers.into_inner();
        let created = answers.message().await.unwrap().unwrap();
        assert!(created.created && !created.canceled);
        let canceled = answers.message().await.unwrap().unwrap();
        assert!(canceled.canceled, "{canceled:?}");
        assert_eq!(canceled.compact_revision, 5);
        assert!(canceled.events.is_empty());
        10
    });
}

#[test]
fn unknown_sort_options_are_refused() {
    if !is_varve() {
        return skipped(
            "unknown_sort_options_are_refused",
            "etcd 3.5.1 does not check them yet",
        );
    }
    const TEXT: &str = "etcdserver: invalid sort option";
    with_server(async |client| {
        for request in [
            RangeRequest {
                sort_order: 9,
                ..get("k")
            },
            RangeRequest {
                sort_target: 9,
                ..get("k")
            },
        ] {
            let answer = client.kv.range(request.clone()).await;
            assert_refused(answer, Code::InvalidArgument, TEXT);
            let answer = client.kv.txn(txn([op_range(request)])).await;
            assert_refused(answer, Code::InvalidArgument, TEXT);
        }
        1
    });
}

#[test]
fn unknown_methods_and_services_are_unimplemented() {
    let dir = scratch();
    let server = Member::new(dir.path()).start();
    block_on(async {
        for (path, text) in [
            (
                "/etcdserverpb.KV/Nothing",
                "unknown method Nothing for service etcdserverpb.KV",
            ),
            (
                "/etcdserverpb.Nothing/Range",
                "unknown service etcdserverpb.Nothing",
            ),
        ] {
            let channel = Endpoint::from_shared(server.url())
                .unwrap()
                .connect()
                .await
                .unwrap();
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<RangeRequest, RangeRequest>::default();
            let request = tonic::Request::new(get("k"));
            let path = http::uri::PathAndQuery::from_static(path);
            let answer = client.unary(request, path, codec).await;
            assert_refused(answer, Code::Unimplemented, text);
        }
    });
    server.stop();
}
