use super::*;

#[test]
fn a_store_reads_back_what_it_wrote() {
    let mut store = V2Store::new();
    store.set(
        "/0/members/8e9e05c52164694d/raftAttributes",
        r#"{"peerURLs":["http://a:1"]}"#,
    );
    store.set("/0/version", "3.5.0");
    store.set("/1/user", "a<b>&c");
    let again = V2Store::from_json(&store.to_json()).unwrap();
    assert_eq!(again, store);
    assert_eq!(again.get("/0/version"), Some("3.5.0"));
    assert_eq!(again.list("/0/members"), ["8e9e05c52164694d"]);
    assert!(again.has_user_content());
}

#[test]
fn json_escapes_html_as_go_does() {
    let mut store = V2Store::new();
    store.set("/1/x", "<&>");
    let text = String::from_utf8(store.to_json()).unwrap();
    assert!(text.contains(r#""Value":"\u003c\u0026\u003e""#), "{text}");
}

#[test]
fn a_fresh_store_has_etcds_three_directories() {
    let text = String::from_utf8(V2Store::new().to_json()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"Root":{"Path":"/","CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z","#,
            r#""Value":"","Children":{"0":{"Path":"/0","CreatedIndex":0,"ModifiedIndex":0,"#,
            r#""ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{}},"1":{"Path":"/1","#,
            r#""CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z","Value":"","#,
            r#""Children":{}}}},"CurrentIndex":0,"CurrentVersion":2}"#
        )
    );
}

#[test]
fn removal_takes_the_whole_directory() {
    let mut store = V2Store::new();
    store.set("/0/members/a/raftAttributes", "{}");
    store.set("/0/members/a/attributes", "{}");
    assert!(store.remove("/0/members/a"));
    assert!(!store.remove("/0/members/a"));
    assert!(store.list("/0/members").is_empty());
}

#[test]
fn unknown_parts_of_the_document_are_ignored() {
    let json =
        br#"{"Root":{"Path":"/","CreatedIndex":0,"ModifiedIndex":0,"Value":"","Children":{}},
        "WatcherHub":{"EventHistory":null},"CurrentIndex":7,"Stats":{},"CurrentVersion":2}"#;
    let store = V2Store::from_json(json).unwrap();
    assert_eq!(store.current_index, 7);
}
