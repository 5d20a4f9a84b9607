use http::HeaderValue;

use super::*;

fn ctx(fields: &[(&'static str, &[u8])]) -> RequestCtx {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.insert(*name, HeaderValue::from_bytes(value).unwrap());
    }
    RequestCtx {
        method: Method::Range,
        headers,
        deadline: None,
        peer: Peer::default(),
    }
}

#[test]
fn the_token_is_found_under_either_name() {
    assert_eq!(ctx(&[]).token(), None);
    assert_eq!(ctx(&[("token", b"abc.1")]).token(), Some("abc.1"));
    assert_eq!(
        ctx(&[("authorization", b"Bearer abc.1")]).token(),
        Some("abc.1")
    );
    assert_eq!(
        ctx(&[("authorization", b"x"), ("token", b"y")]).token(),
        Some("y")
    );
    // No text is a token that fails, not the absence of one.
    assert!(ctx(&[("token", b"\xff")]).token().is_some());
}

#[test]
fn a_leader_is_required_only_by_true() {
    assert!(ctx(&[("hasleader", b"true")]).requires_leader());
    assert!(!ctx(&[("hasleader", b"1")]).requires_leader());
    assert!(!ctx(&[]).requires_leader());
}

#[test]
fn the_client_version_must_be_utf8() {
    assert_eq!(ctx(&[]).client_api_version(), Ok("unknown"));
    assert_eq!(
        ctx(&[("client-api-version", b"3.5")]).client_api_version(),
        Ok("3.5")
    );
    assert_eq!(
        ctx(&[("client-api-version", b"\xc3\x28")]).client_api_version(),
        Err(RpcError::InvalidClientApiVersion)
    );
}

#[test]
fn timeouts_are_read_as_grpc_go_reads_them() {
    for (text, wanted) in [
        ("4999960u", Duration::from_micros(4_999_960)),
        ("5S", Duration::from_secs(5)),
        ("99999999H", Duration::from_hours(99_999_999)),
        ("0n", Duration::ZERO),
        ("1M", Duration::from_mins(1)),
        ("20m", Duration::from_millis(20)),
    ] {
        assert_eq!(parse_timeout(text), Ok(wanted), "{text}");
    }
    for text in ["", "S", "123456789S", "5s", "+5S", "-1S", "xS", "5\u{e9}"] {
        let refused = parse_timeout(text);
        assert!(refused.is_err(), "{text}: {refused:?}");
    }
}
