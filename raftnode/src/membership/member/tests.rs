use super::*;

#[test]
fn json_is_etcds_byte_for_byte() {
    let member = Member {
        id: 7_812_345_678_901_234_567,
        peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
        name: "n1".to_owned(),
        ..Member::default()
    };
    assert_eq!(
        to_json(&member),
        r#"{"id":7812345678901234567,"peerURLs":["http://127.0.0.1:2380"],"name":"n1"}"#
    );
    let learner = Member {
        is_learner: true,
        client_urls: vec!["http://c:1".to_owned()],
        ..member
    };
    assert_eq!(
        to_json(&learner),
        concat!(
            r#"{"id":7812345678901234567,"peerURLs":["http://127.0.0.1:2380"],"#,
            r#""isLearner":true,"name":"n1","clientURLs":["http://c:1"]}"#
        )
    );
}

#[test]
fn a_promotion_context_with_null_urls_decodes() {
    let text = r#"{"id":18446744073709551615,"peerURLs":null,"isPromote":true}"#;
    let context: ConfChangeContext = serde_json::from_str(text).unwrap();
    assert_eq!(context.member.id, u64::MAX);
    assert!(context.is_promote);
    assert!(context.member.peer_urls.is_empty());
}

#[test]
fn a_plain_member_decodes_as_a_context() {
    let text = r#"{"id":5,"peerURLs":["http://a:1"],"name":"x"}"#;
    let context: ConfChangeContext = serde_json::from_str(text).unwrap();
    assert_eq!(context.member.name, "x");
    assert!(!context.is_promote);
    assert_eq!(to_json(&context), text);
}
