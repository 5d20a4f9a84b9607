use super::*;
use crate::rpc::RpcError;

#[test]
fn a_text_is_percent_encoded_as_grpc_go_does() {
    assert_eq!(
        percent_encode("etcdserver: no leader"),
        "etcdserver: no leader"
    );
    assert_eq!(percent_encode("100%"), "100%25");
    assert_eq!(percent_encode("a\nb\x7f"), "a%0Ab%7F");
    assert_eq!(percent_encode("\u{e9}"), "%C3%A9");
}

#[test]
fn numbers_are_those_of_the_variants() {
    for code in [
        Code::Ok,
        Code::Unknown,
        Code::OutOfRange,
        Code::Unauthenticated,
    ] {
        assert_eq!(code.number(), (code as u8).to_string());
    }
}

#[test]
fn a_status_prints_as_go_prints_it() {
    let status = Status::from(RpcError::PermissionDenied);
    assert_eq!(
        status.to_string(),
        "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    );
}

/// etcd's server maps these to errors without a code, although its sources declare one.
#[test]
fn two_errors_travel_as_unknown() {
    assert_eq!(RpcError::TooManyRequests.code(), Code::Unknown);
    assert_eq!(RpcError::MemberNotEnoughStarted.code(), Code::Unknown);
    assert_eq!(RpcError::Compacted.code(), Code::OutOfRange);
}

#[test]
fn trailers_carry_code_and_text_and_no_empty_text() {
    let trailers = Status::new(Code::Internal, "50% of\tit").trailers();
    assert_eq!(trailers["grpc-status"], "13");
    assert_eq!(trailers["grpc-message"], "50%25 of%09it");
    assert_eq!(Status::ok_trailers().len(), 1);
    assert_eq!(Status::unknown("").trailers().len(), 1);
}
