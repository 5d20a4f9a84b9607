use varve_proto::etcdserverpb::{InternalRaftRequest, PutRequest};

use super::*;

#[test]
fn a_wrapped_request_decodes_with_its_header() {
    let put = PutRequest {
        key: Bytes::from_static(b"k"),
        value: Bytes::from(vec![9; 300]),
        ..PutRequest::default()
    };
    let data = encode_request(RequestKind::Put, 77, &put.encode_to_vec());
    let request = InternalRaftRequest::decode(data.clone()).unwrap();
    assert_eq!(request.header.as_ref().unwrap().id, 77);
    assert_eq!(request.put.as_ref(), Some(&put));
    // etcd marshals the same struct to the same bytes.
    assert_eq!(request.encode_to_vec(), data);
}

#[test]
fn the_header_precedes_requests_with_higher_numbers() {
    let data = encode_request(RequestKind::ClusterVersionSet, 5, &[0x0a, 1, b'x']);
    let request = InternalRaftRequest::decode(data.clone()).unwrap();
    assert_eq!(request.cluster_version_set.as_ref().unwrap().ver, "x");
    assert_eq!(request.encode_to_vec(), data);
}

#[test]
fn a_put_is_told_by_its_first_byte() {
    assert!(is_put(&encode_request(RequestKind::Put, 1, b"")));
    let others = [
        RequestKind::DeleteRange,
        RequestKind::Txn,
        RequestKind::Compaction,
        RequestKind::LeaseRevoke,
        RequestKind::ClusterVersionSet,
        RequestKind::ClusterMemberAttrSet,
    ];
    for other in others {
        assert!(!is_put(&encode_request(other, 1, b"")), "{other:?}");
    }
    assert!(!is_put(b""), "a new leader's entry is empty");
    // What etcd proposes.
    let put = InternalRaftRequest {
        put: Some(PutRequest::default()),
        header: Some(varve_proto::etcdserverpb::RequestHeader::default()),
        ..InternalRaftRequest::default()
    };
    assert!(is_put(&put.encode_to_vec()));
}
