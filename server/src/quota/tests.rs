use bytes::Bytes;

use super::*;

fn put(len: usize) -> RequestOp {
    let value = Bytes::from(vec![0; len]);
    let put = PutRequest {
        key: Bytes::from_static(b"k"),
        value,
        ..PutRequest::default()
    };
    RequestOp {
        request: Some(Request::RequestPut(put)),
    }
}

#[test]
fn a_txn_costs_its_costlier_branch_nested_ones_included() {
    let inner = TxnRequest {
        failure: vec![put(1000)],
        ..TxnRequest::default()
    };
    let txn = TxnRequest {
        success: vec![put(1), put(2)],
        failure: vec![RequestOp {
            request: Some(Request::RequestTxn(inner)),
        }],
        ..TxnRequest::default()
    };
    assert_eq!(txn_cost(&txn), 256 + 1 + 1000);
    assert_eq!(txn_cost(&TxnRequest::default()), 0);
}
