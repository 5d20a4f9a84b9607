use super::*;

fn node(path: &str, value: &str, children: &str) -> String {
    format!(
        r#"{{"Path":"{path}","CreatedIndex":1,"ModifiedIndex":2,"ExpireTime":"{NEVER}","Value":{},"Children":{children}}}"#,
        json!(value)
    )
}

fn sample() -> String {
    let raft = node(
        "/0/members/a/raftAttributes",
        r#"{"peerURLs":["http://p"],"isLearner":true}"#,
        "null",
    );
    let own = node(
        "/0/members/a/attributes",
        r#"{"name":"n1","clientURLs":["http://c"]}"#,
        "null",
    );
    let member = node(
        "/0/members/a",
        "",
        &format!(r#"{{"attributes":{own},"raftAttributes":{raft}}}"#),
    );
    let members = node("/0/members", "", &format!(r#"{{"a":{member}}}"#));
    let removed = node(
        "/0/removed_members",
        "",
        &format!(r#"{{"b":{}}}"#, node("/b", "", "null")),
    );
    let version = node("/0/version", "3.5.0", "null");
    let zero = node(
        "/0",
        "",
        &format!(r#"{{"members":{members},"removed_members":{removed},"version":{version}}}"#),
    );
    let root = node("/", "", &format!(r#"{{"0":{zero}}}"#));
    format!(r#"{{"Root":{root},"CurrentIndex":9,"CurrentVersion":2}}"#)
}

#[test]
fn members_and_version_are_found_in_the_tree() {
    let store = Store::parse(sample().as_bytes()).unwrap();
    let mut object = json!({});
    store.add_json(true, &mut object);
    assert_eq!(object["members"][0]["name"], "n1");
    assert_eq!(object["members"][0]["peer_urls"], json!(["http://p"]));
    assert_eq!(object["members"][0]["is_learner"], true);
    assert_eq!(object["removed_members"], json!(["b"]));
    assert_eq!(object["cluster_version"], "3.5.0");
    assert_eq!(object["v2_store"].as_array().unwrap().len(), 9);
}

#[test]
fn cut_or_damaged_json_is_refused_and_never_panics() {
    let text = sample();
    for len in 0..text.len() {
        assert!(Store::parse(&text.as_bytes()[..len]).is_err(), "{len}");
    }
    let deep = "{\"Root\":".to_owned() + &"{\"Children\":{\"a\":".repeat(100_000);
    assert!(Store::parse(deep.as_bytes()).is_err());
}
