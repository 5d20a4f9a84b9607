//! Each response is compared with what prost decodes from it, byte by byte through prost's encoder.

use varve_proto::etcdserverpb::{
    DeleteRangeResponse, PutResponse, RangeResponse, ResponseHeader, ResponseOp, TxnResponse,
    response_op::Response,
};
use varve_proto::mvccpb::KeyValue;
use varve_proto::prost::Message as _;

use super::*;

const HEADER: Header = Header {
    cluster_id: u64::MAX,
    member_id: 7,
    raft_term: 3,
};

fn kv(key: &str, value_len: usize) -> KeyValue {
    KeyValue {
        key: Bytes::copy_from_slice(key.as_bytes()),
        create_revision: 2,
        mod_revision: 300,
        version: 1,
        value: vec![b'v'; value_len].into(),
        lease: -5,
    }
}

fn stored(kv: &KeyValue) -> Bytes {
    kv.encode_to_vec().into()
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: u64::MAX,
        member_id: 7,
        revision,
        raft_term: 3,
    })
}

fn inner(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

/// The message's bytes must be what prost writes for `expected`.
fn check(message: EncodedMessage, expected: &impl varve_proto::prost::Message) {
    assert_eq!(message.len(), expected.encoded_len());
    assert_eq!(message.to_bytes(), expected.encode_to_vec());
}

#[test]
fn a_range_response_embeds_the_stored_pairs() {
    // Small pairs are copied, the large one is shared.
    for kvs in [
        vec![],
        vec![kv("a", 3)],
        vec![kv("a", 0), kv("b", 20_000), kv("c", 9)],
    ] {
        let result = RangeResult {
            kvs: kvs.iter().map(stored).collect(),
            count: 12,
            more: true,
            revision: 1 << 40,
        };
        let expected = RangeResponse {
            header: header(1 << 40),
            kvs,
            more: true,
            count: 12,
        };
        check(range(&HEADER, result), &expected);
    }
    check(
        range(
            &HEADER,
            RangeResult {
                revision: 1,
                ..RangeResult::default()
            },
        ),
        &RangeResponse {
            header: header(1),
            ..RangeResponse::default()
        },
    );
}

#[test]
fn writes_carry_previous_pairs_only_where_given() {
    let old = kv("k", 5);
    check(
        put(&HEADER, 9, None),
        &PutResponse {
            header: header(9),
            prev_kv: None,
        },
    );
    check(
        put(&HEADER, 9, Some(stored(&old))),
        &PutResponse {
            header: header(9),
            prev_kv: Some(old.clone()),
        },
    );
    check(
        delete_range(&HEADER, 9, 0, Vec::new()),
        &DeleteRangeResponse {
            header: header(9),
            ..DeleteRangeResponse::default()
        },
    );
    check(
        delete_range(&HEADER, 9, 2, vec![stored(&old), stored(&kv("l", 5000))]),
        &DeleteRangeResponse {
            header: header(9),
            deleted: 2,
            prev_kvs: vec![old, kv("l", 5000)],
        },
    );
}

#[test]
fn a_txn_response_nests_its_operations_in_order() {
    let range = || RangeResult {
        kvs: vec![stored(&kv("a", 6000))],
        count: 1,
        more: false,
        revision: 4,
    };
    let applied = TxnApplied {
        revision: 5,
        succeeded: true,
        responses: vec![
            OpApplied::Put {
                revision: 5,
                prev_kv: Some(stored(&kv("p", 1))),
            },
            OpApplied::Range(range()),
            OpApplied::Txn(TxnApplied {
                revision: 5,
                succeeded: false,
                responses: vec![OpApplied::DeleteRange {
                    revision: 5,
                    deleted: 1,
                    prev_kvs: vec![],
                }],
            }),
        ],
    };
    let op = |response| ResponseOp {
        response: Some(response),
    };
    let expected = TxnResponse {
        header: header(5),
        succeeded: true,
        responses: vec![
            op(Response::ResponsePut(PutResponse {
                header: inner(5),
                prev_kv: Some(kv("p", 1)),
            })),
            op(Response::ResponseRange(RangeResponse {
                header: inner(4),
                kvs: vec![kv("a", 6000)],
                more: false,
                count: 1,
            })),
            op(Response::ResponseTxn(TxnResponse {
                header: inner(0),
                succeeded: false,
                responses: vec![op(Response::ResponseDeleteRange(DeleteRangeResponse {
                    header: inner(5),
                    deleted: 1,
                    prev_kvs: vec![],
                }))],
            })),
        ],
    };
    check(txn(&HEADER, applied), &expected);
}
