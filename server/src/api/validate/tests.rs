use varve_proto::etcdserverpb::Compare;

use super::*;

fn key(text: &str) -> RangeRequest {
    RangeRequest {
        key: text.to_owned().into(),
        ..RangeRequest::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn put_of(key: &str) -> RequestOp {
    op(Request::RequestPut(PutRequest {
        key: key.to_owned().into(),
        ..PutRequest::default()
    }))
}

#[test]
fn a_range_needs_a_key_and_a_known_order() {
    assert_eq!(range(&key("a")), Ok(()));
    assert_eq!(range(&key("")), Err(RpcError::EmptyKey));
    let order = RangeRequest {
        sort_order: 3,
        ..key("a")
    };
    assert_eq!(range(&order), Err(RpcError::InvalidSortOption));
    let target = RangeRequest {
        sort_target: -1,
        ..key("a")
    };
    assert_eq!(range(&target), Err(RpcError::InvalidSortOption));
    // The key comes first.
    assert_eq!(
        range(&RangeRequest {
            sort_order: 3,
            ..key("")
        }),
        Err(RpcError::EmptyKey)
    );
}

#[test]
fn a_stream_neither_sorts_nor_filters() {
    let ascend = SortOrder::Ascend.into();
    assert_eq!(
        range_stream(&RangeRequest {
            sort_order: ascend,
            ..key("a")
        }),
        Ok(())
    );
    let value = SortTarget::Value.into();
    assert_eq!(
        range_stream(&RangeRequest {
            sort_target: value,
            ..key("a")
        }),
        Ok(())
    );
    for request in [
        RangeRequest {
            sort_order: SortOrder::Descend.into(),
            ..key("a")
        },
        RangeRequest {
            sort_order: ascend,
            sort_target: value,
            ..key("a")
        },
    ] {
        let status = range_stream(&request).unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(
            status.message(),
            "RangeStream does not support custom sort orders"
        );
    }
    for request in [
        RangeRequest {
            min_mod_revision: 1,
            ..key("a")
        },
        RangeRequest {
            max_mod_revision: 1,
            ..key("a")
        },
        RangeRequest {
            min_create_revision: 1,
            ..key("a")
        },
        RangeRequest {
            max_create_revision: -1,
            ..key("a")
        },
    ] {
        let status = range_stream(&request).unwrap_err();
        assert_eq!(
            status.message(),
            "RangeStream does not support revision filters"
        );
    }
}

#[test]
fn a_put_does_not_give_what_it_wants_kept() {
    let base = PutRequest {
        key: "a".into(),
        value: "v".into(),
        lease: 5,
        ..Default::default()
    };
    assert_eq!(put(&base), Ok(()));
    assert_eq!(
        put(&PutRequest {
            key: "".into(),
            ..base.clone()
        }),
        Err(RpcError::EmptyKey)
    );
    let keep_value = PutRequest {
        ignore_value: true,
        ..base.clone()
    };
    assert_eq!(put(&keep_value), Err(RpcError::ValueProvided));
    assert_eq!(
        put(&PutRequest {
            value: "".into(),
            ..keep_value
        }),
        Ok(())
    );
    let keep_lease = PutRequest {
        ignore_lease: true,
        ..base
    };
    assert_eq!(put(&keep_lease), Err(RpcError::LeaseProvided));
    assert_eq!(
        put(&PutRequest {
            lease: 0,
            ..keep_lease
        }),
        Ok(())
    );
}

#[test]
fn a_delete_needs_a_key() {
    let request = DeleteRangeRequest {
        range_end: "z".into(),
        ..Default::default()
    };
    assert_eq!(delete_range(&request), Err(RpcError::EmptyKey));
}

#[test]
fn the_longest_list_of_a_transaction_counts() {
    let puts = |count: usize| {
        (0..count)
            .map(|i| put_of(&i.to_string()))
            .collect::<Vec<_>>()
    };
    let compare = |count| {
        vec![
            Compare {
                key: "a".into(),
                ..Compare::default()
            };
            count
        ]
    };
    let request = TxnRequest {
        compare: compare(3),
        success: puts(3),
        failure: puts(3),
    };
    assert_eq!(txn(&request, 3), Ok(()));
    assert_eq!(txn(&request, 2), Err(RpcError::TooManyOps));
    for request in [
        TxnRequest {
            compare: compare(4),
            ..TxnRequest::default()
        },
        TxnRequest {
            success: puts(4),
            ..TxnRequest::default()
        },
        TxnRequest {
            failure: puts(4),
            ..TxnRequest::default()
        },
    ] {
        assert_eq!(txn(&request, 3), Err(RpcError::TooManyOps));
    }
}

#[test]
fn a_nested_transaction_has_what_is_left() {
    let inner = TxnRequest {
        success: vec![put_of("a"), put_of("b")],
        ..TxnRequest::default()
    };
    let outer = TxnRequest {
        success: vec![put_of("x"), op(Request::RequestTxn(inner))],
        ..TxnRequest::default()
    };
    assert_eq!(txn(&outer, 4), Ok(()));
    assert_eq!(txn(&outer, 3), Err(RpcError::TooManyOps));
}

#[test]
fn operations_of_a_transaction_pass_their_own_checks() {
    let branch = |op: RequestOp| {
        let success = TxnRequest {
            success: vec![op.clone()],
            ..TxnRequest::default()
        };
        let failure = TxnRequest {
            failure: vec![op],
            ..TxnRequest::default()
        };
        assert_eq!(txn(&success, 9), txn(&failure, 9));
        txn(&success, 9)
    };
    assert_eq!(branch(put_of("")), Err(RpcError::EmptyKey));
    assert_eq!(
        branch(op(Request::RequestRange(key("")))),
        Err(RpcError::EmptyKey)
    );
    let unsorted = RangeRequest {
        sort_target: 9,
        ..key("a")
    };
    assert_eq!(
        branch(op(Request::RequestRange(unsorted))),
        Err(RpcError::InvalidSortOption)
    );
    let delete = DeleteRangeRequest::default();
    assert_eq!(
        branch(op(Request::RequestDeleteRange(delete))),
        Err(RpcError::EmptyKey)
    );
    assert_eq!(branch(RequestOp::default()), Err(RpcError::KeyNotFound));
    let nested = TxnRequest {
        success: vec![RequestOp::default()],
        ..TxnRequest::default()
    };
    assert_eq!(
        branch(op(Request::RequestTxn(nested))),
        Err(RpcError::KeyNotFound)
    );
    let compare = TxnRequest {
        compare: vec![Compare::default()],
        ..TxnRequest::default()
    };
    assert_eq!(txn(&compare, 9), Err(RpcError::EmptyKey));
}

#[test]
fn duplicates_are_found_in_either_branch() {
    let twice = vec![put_of("a"), put_of("a")];
    let success = TxnRequest {
        success: twice.clone(),
        ..TxnRequest::default()
    };
    assert_eq!(txn(&success, 9), Err(RpcError::DuplicateKey));
    let failure = TxnRequest {
        failure: twice,
        ..TxnRequest::default()
    };
    assert_eq!(txn(&failure, 9), Err(RpcError::DuplicateKey));
}

#[test]
fn a_member_to_add_needs_good_urls() {
    let check =
        |urls: &[&str]| member_urls(&urls.iter().map(|&u| u.to_owned()).collect::<Vec<_>>());
    assert_eq!(
        check(&["http://10.0.0.1:2380", " https://b:2380 "])
            .unwrap()
            .len(),
        2
    );
    for bad in [
        &[][..],
        &["10.0.0.1:2380"],
        &["http://10.0.0.1"],
        &["http://a:1/path"],
        &["ftp://a:1"],
    ] {
        assert_eq!(check(bad), Err(RpcError::MemberBadUrls), "{bad:?}");
    }
}
