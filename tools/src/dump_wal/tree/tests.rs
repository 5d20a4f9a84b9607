use prost::Message as _;
use varve_proto::etcdserverpb::{self, InternalRaftRequest, PutRequest, RequestHeader};

use super::super::schema::requests::{INTERNAL_RAFT_REQUEST, V2_REQUEST};
use super::*;

fn put() -> InternalRaftRequest {
    InternalRaftRequest {
        header: Some(RequestHeader {
            id: 7,
            ..RequestHeader::default()
        }),
        put: Some(PutRequest {
            key: "k".into(),
            value: "v".into(),
            lease: -1,
            ..PutRequest::default()
        }),
        ..InternalRaftRequest::default()
    }
}

#[test]
fn values_come_in_the_order_of_the_schema_and_zeros_are_left_out() {
    let bytes = put().encode_to_vec();
    let tree = Tree::decode(&INTERNAL_RAFT_REQUEST, &bytes).unwrap();
    let names: Vec<_> = tree.values.iter().map(|(field, _)| field.name).collect();
    assert_eq!(
        names,
        ["header", "put"],
        "the header's number is higher, yet it comes first"
    );
    let Some(Value::Message(put)) = tree.get("put") else {
        panic!("{tree:?}");
    };
    assert_eq!(put.bytes("key"), b"k");
    assert!(matches!(put.get("lease"), Some(Value::Signed(-1))));
    assert!(put.get("prev_kv").is_none());
}

#[test]
fn a_request_of_the_v2_store_is_no_internal_request() {
    for method in ["PUT", "POST", "DELETE", "QGET", "SYNC"] {
        let request = etcdserverpb::Request {
            id: 1,
            method: method.to_owned(),
            path: "/0/version".to_owned(),
            ..etcdserverpb::Request::default()
        };
        let bytes = request.encode_to_vec();
        assert_eq!(
            Tree::decode(&INTERNAL_RAFT_REQUEST, &bytes).unwrap_err(),
            Malformed
        );
        let tree = Tree::decode(&V2_REQUEST, &bytes).unwrap();
        assert_eq!(tree.bytes("Method"), method.as_bytes());
    }
}

#[test]
fn truncated_and_damaged_bytes_are_refused_or_read_and_never_panic() {
    let bytes = put().encode_to_vec();
    for len in 0..bytes.len() {
        drop(Tree::decode(&INTERNAL_RAFT_REQUEST, &bytes[..len]));
    }
    for at in 0..bytes.len() {
        for mask in 1..=255 {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            drop(Tree::decode(&INTERNAL_RAFT_REQUEST, &damaged));
        }
    }
}

#[test]
fn nesting_without_end_is_refused() {
    // txn { success { request_txn { success { ... } } } }, far deeper than the stack would like.
    let mut bytes = Vec::new();
    for tag in [0x22, 0x12].into_iter().cycle().take(4000) {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.append(&mut bytes);
        bytes = outer;
    }
    let mut outer = vec![0x32];
    prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
    outer.append(&mut bytes);
    assert_eq!(
        Tree::decode(&INTERNAL_RAFT_REQUEST, &outer).unwrap_err(),
        Malformed
    );
}

#[test]
fn of_a_field_that_comes_again_the_last_counts_even_when_it_is_zero() {
    let request = |put: PutRequest| InternalRaftRequest {
        put: Some(put),
        ..InternalRaftRequest::default()
    };
    let leased = |lease| PutRequest {
        key: "k".into(),
        lease,
        ..PutRequest::default()
    };
    // Alone, a zero stands nowhere; after another value it must be written out: field 3, varint 0.
    let mut inner = leased(5).encode_to_vec();
    inner.extend(leased(7).encode_to_vec());
    let again = |inner: &[u8]| {
        let mut bytes = vec![0x22, u8::try_from(inner.len()).unwrap()];
        bytes.extend(inner);
        bytes
    };
    let lease = |bytes: &[u8]| {
        let tree = Tree::decode(&INTERNAL_RAFT_REQUEST, bytes).unwrap();
        assert_eq!(tree.values.len(), 1, "{tree:?}");
        let Some(Value::Message(put)) = tree.get("put") else {
            panic!("{tree:?}");
        };
        assert_eq!(put.bytes("key"), b"k");
        match put.get("lease") {
            Some(Value::Signed(lease)) => Some(*lease),
            other => {
                assert!(other.is_none(), "{other:?}");
                None
            }
        }
    };
    assert_eq!(
        again(&leased(5).encode_to_vec()),
        request(leased(5)).encode_to_vec()
    );
    assert_eq!(lease(&again(&inner)), Some(7));
    inner.extend([0x18, 0]);
    assert_eq!(lease(&again(&inner)), None);
    // So it is with messages: the second request replaces the first.
    let mut twice = again(&inner);
    twice.extend(again(&leased(9).encode_to_vec()));
    assert_eq!(lease(&twice), Some(9));
}
