use super::*;

#[test]
fn a_url_keeps_its_text() {
    for text in [
        "http://localhost:2379",
        "https://[::1]:2380",
        "http://10.0.0.1:02380",
    ] {
        assert_eq!(Url::parse(text).unwrap().to_string(), text);
    }
    let six = Url::parse("http://[::1]:2380").unwrap();
    assert_eq!(
        (six.host(), six.port(), six.scheme()),
        ("::1", 2380, Scheme::Http)
    );
}

#[test]
fn malformed_urls_are_refused_with_etcds_reason() {
    for (text, reason) in [
        ("localhost:2379", "URL scheme must be"),
        ("ftp://localhost:1", "URL scheme must be"),
        ("", "URL scheme must be"),
        ("http://localhost", "does not have the form"),
        ("http://localhost:", "does not have the form"),
        ("http://::1:80", "does not have the form"),
        ("http://localhost:99999", "does not have the form"),
        ("http://localhost:1/a", "must not contain a path"),
        ("http://localhost:1/", "must not contain a path"),
    ] {
        let e = Url::parse(text).unwrap_err();
        assert!(e.contains(reason), "{text}: {e}");
    }
}

#[test]
fn lists_are_sorted_and_an_empty_text_is_an_empty_list() {
    let list = Url::parse_list("http://b:1, http://a:2").unwrap();
    let texts: Vec<String> = list.iter().map(Url::to_string).collect();
    assert_eq!(texts, ["http://a:2", "http://b:1"]);
    assert_eq!(Url::parse_list("").unwrap(), Vec::new());
    assert!(Url::parse_list("http://a:1,").is_err());
}

#[test]
fn only_addresses_of_a_machine_can_be_listened_on() {
    for text in ["http://localhost:1", "http://127.0.0.1:1", "http://[::]:1"] {
        assert_eq!(Url::parse(text).unwrap().check_bind(), Ok(()));
    }
    assert!(
        Url::parse("http://example.com:1")
            .unwrap()
            .check_bind()
            .is_err()
    );
}
