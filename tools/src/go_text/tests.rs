use super::*;

#[test]
fn times_are_those_of_go() {
    for (nanos, text) in [
        (0, "1970-01-01 00:00:00 +0000 UTC"),
        (1, "1970-01-01 00:00:00.000000001 +0000 UTC"),
        (
            1_763_663_129_797_349_102,
            "2025-11-20 18:25:29.797349102 +0000 UTC",
        ),
        (951_782_400_000_000_000, "2000-02-29 00:00:00 +0000 UTC"),
        (-1_000_000_000, "1969-12-31 23:59:59 +0000 UTC"),
        (4_107_542_400_500_000_000, "2100-03-01 00:00:00.5 +0000 UTC"),
    ] {
        assert_eq!(go_time(nanos), text);
    }
}

#[test]
fn quoting_is_that_of_go_and_of_protobuf() {
    let bytes = b"a\"\\\n\x00\x7f\xff'";
    assert_eq!(octal_quoted(bytes), r#""a\"\\\n\000\177\377'""#);
    assert_eq!(go_quoted(bytes), r#""a\"\\\n\x00\x7f\xff'""#);
    assert_eq!(
        go_quoted("\u{e9}\u{200b}\u{e0001}".as_bytes()),
        "\"\u{e9}\\u200b\\U000e0001\""
    );
    assert_eq!(
        go_quoted("\u{301}e\u{301}\u{ad}\u{a0}".as_bytes()),
        "\"\u{301}e\u{301}\\u00ad\\u00a0\"",
        "combining marks are printable, soft hyphens and hard spaces are not"
    );
}

#[test]
fn long_strings_lose_their_middle() {
    assert_eq!(excerpt(b"0123456789", 5, 6), "\"0123456789\"");
    assert_eq!(excerpt(b"0123456789", 2, 3), "\"01\"...\"789\"");
    assert_eq!(excerpt(b"0123456789", 4, 0), "\"0123\"...\"\"");
}

#[test]
fn text_that_can_be_shown_is_told_from_bytes() {
    assert_eq!(printable(b"{\"a\": 'b\\'}"), Some("{\"a\": 'b\\'}"));
    assert_eq!(printable(b""), Some(""));
    for bytes in [&b"\n"[..], b"\xff", b"a\0"] {
        assert_eq!(printable(bytes), None);
    }
}
