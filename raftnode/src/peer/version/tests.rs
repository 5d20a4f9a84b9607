use super::Release;

fn release(text: &str) -> Release {
    Release::parse(text).unwrap()
}

#[test]
fn versions_are_semantic_versions() {
    assert_eq!(release("3.6.14").to_string(), "3.6");
    assert_eq!(release("3.8.0-alpha.0+git.1f"), release("3.8.9"));
    for bad in [
        "",
        "3",
        "3.6",
        "3.6.1.2",
        "v3.6.1",
        "3.06.1",
        "3.6.x",
        "3.6.1-",
        "3.6.1-a..b",
        "3.6.1+",
        "3.6.1-\u{e4}",
        "-3.6.1",
        "3.6.1 ",
        "99999999999999999999.0.0",
    ] {
        assert_eq!(Release::parse(bad), None, "{bad:?}");
    }
    assert_eq!(Release::of_header(None).unwrap().to_string(), "2.0");
}

#[test]
fn any_release_three_talks_to_any_other() {
    let (min, local) = (release("3.0.0"), release("3.6.5"));
    assert!(release("3.0.0").may_send_to(min, local));
    assert!(release("3.9.0").may_send_to(min, local));
    assert!(release("4.0.0").may_send_to(min, local));
    assert!(!release("2.3.8").may_send_to(min, local));
    assert!(!release("3.9.0").may_send_to(release("3.7.0"), local));
    assert!(release("3.9.0").may_send_to(release("3.6.9"), local));
    assert!(!release("2.0.0").has_streams() && release("2.1.0").has_streams());
}
