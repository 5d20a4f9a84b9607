use super::*;

#[test]
fn every_method_is_found_by_its_path() {
    for &method in Method::ALL {
        let path = format!("/{}/{}", method.service(), method.name());
        assert_eq!(Method::from_path(&path), Ok(method));
    }
    assert_eq!(Method::ALL.len(), 51);
}

fn refusal(path: &str) -> String {
    let status = Method::from_path(path).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    status.message().to_owned()
}

#[test]
fn what_is_not_found_is_refused_in_grpc_gos_words() {
    assert_eq!(
        refusal("/etcdserverpb.KV/Foo"),
        "unknown method Foo for service etcdserverpb.KV"
    );
    assert_eq!(refusal("/x.Y/Z"), "unknown service x.Y");
    assert_eq!(refusal("/a/b/c"), "unknown service a/b");
    assert_eq!(refusal("/Range"), "malformed method name: \"/Range\"");
    assert_eq!(refusal(""), "malformed method name: \"\"");
}

#[test]
fn streams_are_told_from_unary_calls() {
    assert_eq!(Method::Put.kind(), Kind::Unary);
    assert_eq!(Method::Snapshot.kind(), Kind::ServerStream);
    assert_eq!(Method::Watch.kind(), Kind::BidiStream);
}
