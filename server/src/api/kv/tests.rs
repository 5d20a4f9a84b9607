use super::*;

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

#[test]
fn only_ranges_that_end_soon_are_read_on_the_runtimes_threads() {
    let key = RangeRequest {
        key: Bytes::from_static(b"a"),
        ..RangeRequest::default()
    };
    let page = RangeRequest {
        range_end: Bytes::from_static(b"b"),
        limit: 500,
        ..key.clone()
    };
    assert!(reads_little(&key));
    assert!(reads_little(&page));
    for long in [
        RangeRequest {
            limit: 0,
            ..page.clone()
        },
        RangeRequest {
            limit: INLINE_LIMIT + 1,
            ..page.clone()
        },
        // These look at everything before the limit applies.
        RangeRequest {
            sort_order: 1,
            ..page.clone()
        },
        RangeRequest {
            min_mod_revision: 3,
            ..page.clone()
        },
        RangeRequest {
            revision: 7,
            ..page
        },
    ] {
        assert!(!reads_little(&long), "{long:?}");
    }
}

#[test]
fn a_transaction_is_answered_here_only_if_all_its_operations_are_ranges() {
    let range = || op(Request::RequestRange(RangeRequest::default()));
    let txn = |success: Vec<RequestOp>, failure: Vec<RequestOp>| TxnRequest {
        success,
        failure,
        ..TxnRequest::default()
    };
    assert!(only_reads(&txn(vec![], vec![])));
    assert!(only_reads(&txn(vec![range()], vec![range()])));
    assert!(!only_reads(&txn(
        vec![range()],
        vec![op(Request::RequestPut(PutRequest::default()))]
    )));
    let nested = op(Request::RequestTxn(txn(vec![range()], vec![])));
    assert!(!only_reads(&txn(vec![nested], vec![])));
    assert_eq!(ranges(&txn(vec![range()], vec![range()])).count(), 2);
}
