use prost::Message as _;

use super::*;
use crate::etcdserverpb::compare::CompareTarget;
use crate::etcdserverpb::request_op::Request;
use crate::etcdserverpb::{
    Compare, DowngradeVersionTestRequest, InternalRaftRequest, LeaseCheckpointRequest, PutRequest,
    RequestHeader, RequestOp, TxnRequest,
};
use crate::membershippb::ClusterVersionSetRequest;

fn required(request: &InternalRaftRequest) -> String {
    required_release(&request.encode_to_vec())
        .unwrap()
        .to_string()
}

fn txn(txn: TxnRequest) -> InternalRaftRequest {
    InternalRaftRequest {
        txn: Some(txn),
        ..InternalRaftRequest::default()
    }
}

#[test]
fn a_request_needs_the_newest_thing_in_it() {
    assert_eq!(required(&InternalRaftRequest::default()), "3.0");
    let put = PutRequest {
        key: "a".into(),
        ..PutRequest::default()
    };
    let plain = InternalRaftRequest {
        put: Some(put.clone()),
        ..InternalRaftRequest::default()
    };
    assert_eq!(required(&plain), "3.0");
    let ignoring = PutRequest {
        ignore_lease: true,
        ..put
    };
    let ignoring = InternalRaftRequest {
        put: Some(ignoring),
        ..InternalRaftRequest::default()
    };
    assert_eq!(required(&ignoring), "3.2");
    let header = RequestHeader {
        id: 7,
        auth_revision: 1,
        ..RequestHeader::default()
    };
    assert_eq!(
        required(&InternalRaftRequest {
            header: Some(header),
            ..plain
        }),
        "3.1"
    );
    let checkpoint = InternalRaftRequest {
        lease_checkpoint: Some(LeaseCheckpointRequest::default()),
        ..InternalRaftRequest::default()
    };
    assert_eq!(required(&checkpoint), "3.4");
    let version = InternalRaftRequest {
        cluster_version_set: Some(ClusterVersionSetRequest {
            ver: "3.6.0".to_owned(),
        }),
        ..InternalRaftRequest::default()
    };
    assert_eq!(required(&version), "3.5");
}

#[test]
fn enum_values_and_nested_operations_count() {
    let by_lease = Compare {
        key: "a".into(),
        target: CompareTarget::Lease.into(),
        ..Compare::default()
    };
    assert_eq!(
        required(&txn(TxnRequest {
            compare: vec![by_lease],
            ..Default::default()
        })),
        "3.3"
    );
    let keeping = PutRequest {
        key: "a".into(),
        ignore_value: true,
        ..PutRequest::default()
    };
    let op = RequestOp {
        request: Some(Request::RequestPut(keeping)),
    };
    let inner = TxnRequest {
        success: vec![op.clone()],
        ..TxnRequest::default()
    };
    assert_eq!(required(&txn(inner.clone())), "3.2");
    let nested = RequestOp {
        request: Some(Request::RequestTxn(inner)),
    };
    assert_eq!(
        required(&txn(TxnRequest {
            failure: vec![nested],
            ..Default::default()
        })),
        "3.3"
    );
}

#[test]
fn a_test_of_downgrades_needs_what_it_names() {
    let test = |ver: &str| InternalRaftRequest {
        downgrade_version_test: Some(DowngradeVersionTestRequest {
            ver: ver.to_owned(),
        }),
        ..InternalRaftRequest::default()
    };
    assert_eq!(required(&test("3.9.0")), "3.9");
    // The request itself came with 3.6.
    assert_eq!(required(&test("3.5")), "3.6");
    assert_eq!(required(&test("soon")), "3.6");
}

#[test]
fn damage_is_an_error_or_another_answer() {
    let request = InternalRaftRequest {
        lease_checkpoint: Some(LeaseCheckpointRequest::default()),
        header: Some(RequestHeader {
            id: 300,
            ..RequestHeader::default()
        }),
        ..InternalRaftRequest::default()
    };
    let bytes = request.encode_to_vec();
    for length in 1..bytes.len() {
        // Cut between fields it is a shorter request.
        let cut = required_release(&bytes[..length]);
        let whole = InternalRaftRequest::decode(&bytes[..length]);
        assert_eq!(
            cut.is_ok(),
            whole.is_ok(),
            "{length}: {cut:?} but {whole:?}"
        );
    }
    assert!(required_release(b"\xff\xff").is_err());
    // Unknown fields ask for nothing.
    assert_eq!(
        required_release(b"\xc8\x7d\x01").unwrap().to_string(),
        "3.0"
    );
}
