use super::*;

#[test]
fn durations_are_read_as_go_reads_them() {
    for (text, millis) in [
        ("0", 0),
        ("300ms", 300),
        ("10m", 600_000),
        ("2h45m", 9_900_000),
        ("1.5h", 5_400_000),
        (".5s", 500),
        ("1h0m0.25s", 3_600_250),
        ("1000us", 1),
    ] {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    assert_eq!(parse_duration("7ns"), Ok(Duration::from_nanos(7)));
}

#[test]
fn what_go_refuses_is_refused() {
    for text in [
        "",
        "5",
        "-1s",
        "s",
        ".s",
        "1.2.3s",
        "1x",
        "1h x",
        "9999999999h",
        "+",
        "1 s",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    for text in ["", "yes", "2", "tRUE", " true"] {
        assert!(parse_bool(text).is_err(), "{text}");
    }
}

#[test]
fn booleans_are_read_as_go_reads_them() {
    for text in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(parse_bool(text), Ok(true));
    }
    for text in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(parse_bool(text), Ok(false));
    }
}
