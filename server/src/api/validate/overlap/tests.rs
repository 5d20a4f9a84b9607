use proptest::prelude::*;
use varve_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, TxnRequest};

use super::*;

fn put(key: &str) -> RequestOp {
    let put = PutRequest {
        key: key.to_owned().into(),
        ..PutRequest::default()
    };
    RequestOp {
        request: Some(Request::RequestPut(put)),
    }
}

fn delete(key: &str, end: &str) -> RequestOp {
    let delete = DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        prev_kv: false,
    };
    RequestOp {
        request: Some(Request::RequestDeleteRange(delete)),
    }
}

fn txn(success: &[RequestOp], failure: &[RequestOp]) -> RequestOp {
    let txn = TxnRequest {
        compare: Vec::new(),
        success: success.to_vec(),
        failure: failure.to_vec(),
    };
    RequestOp {
        request: Some(Request::RequestTxn(txn)),
    }
}

fn refused(ops: &[RequestOp]) -> bool {
    match check(ops) {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error, RpcError::DuplicateKey);
            true
        }
    }
}

#[test]
fn two_writes_of_a_key_are_refused_in_any_order() {
    assert!(refused(&[put("a"), put("a")]));
    assert!(!refused(&[put("a"), put("b")]));
    assert!(refused(&[put("a"), delete("a", "")]));
    assert!(refused(&[delete("a", ""), put("a")]));
    assert!(!refused(&[delete("a", ""), put("a\0")]));
    assert!(refused(&[put("b"), delete("a", "c")]));
    assert!(!refused(&[put("c"), delete("a", "c")]));
}

#[test]
fn deletes_may_overlap() {
    assert!(!refused(&[
        delete("a", "c"),
        delete("b", "d"),
        delete("a", "")
    ]));
}

#[test]
fn the_branches_of_a_nested_transaction_exclude_each_other() {
    assert!(!refused(&[txn(&[put("a")], &[put("a")])]));
    assert!(!refused(&[txn(&[put("a")], &[delete("a", "")])]));
    assert!(refused(&[txn(&[put("a"), put("a")], &[])]));
    assert!(refused(&[txn(&[], &[put("a"), delete("a", "")])]));
}

#[test]
fn nested_writes_count_against_those_around_them() {
    assert!(refused(&[put("a"), txn(&[put("a")], &[])]));
    assert!(refused(&[put("a"), txn(&[], &[put("a")])]));
    assert!(refused(&[txn(&[put("a")], &[]), delete("a", "b")]));
    assert!(refused(&[put("a"), txn(&[], &[delete("a", "b")])]));
    assert!(refused(&[txn(&[put("a")], &[]), txn(&[], &[put("a")])]));
    assert!(refused(&[put("a"), txn(&[txn(&[put("a")], &[])], &[])]));
}

/// etcd sees a nested delete only once its transaction has been looked at.
#[test]
fn a_put_is_held_against_deletes_of_earlier_transactions_only() {
    assert!(refused(&[
        txn(&[delete("a", "")], &[]),
        txn(&[put("a")], &[])
    ]));
    assert!(!refused(&[
        txn(&[put("a")], &[]),
        txn(&[delete("a", "")], &[])
    ]));
}

#[test]
fn ends_that_are_not_above_the_key_cover_nothing() {
    // One zero byte means "to the end" everywhere else.
    assert!(!refused(&[delete("a", "\0"), put("b")]));
    assert!(!refused(&[delete("c", "a"), put("b"), put("c")]));
}

proptest! {
    /// Against a list that is searched from end to end.
    #[test]
    fn intervals_hold_what_was_inserted(
        inserted in prop::collection::vec((0_u8..40, 0_u8..40), 0..12),
    ) {
        let mut intervals = Intervals::default();
        for &(begin, end) in &inserted {
            intervals.insert(vec![begin].into(), vec![end].into());
        }
        for key in 0..41 {
            let wanted = inserted.iter().any(|&(begin, end)| begin <= key && key < end);
            prop_assert_eq!(intervals.contains(&vec![key].into()), wanted, "key {}", key);
        }
        let ends: Vec<_> = intervals.ends.iter().collect();
        prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", ends);
    }
}
