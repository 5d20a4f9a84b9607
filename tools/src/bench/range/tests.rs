use clap::Parser;

use super::super::args::{Cli, Command};
use super::*;

#[test]
fn the_end_of_a_prefix_is_the_next_key_of_its_length_or_none() {
    for (prefix, end) in [
        (&b"a"[..], &b"b"[..]),
        (b"a/", b"a0"),
        (b"a\xff", b"b"),
        (b"\xff\xff", b"\0"),
        (b"", b"\0"),
    ] {
        assert_eq!(prefix_end(prefix), end, "{prefix:?}");
    }
}

#[test]
fn flags_become_fields_of_the_request() {
    let parse = |line: &[&str]| {
        let line = ["varve-bench", "range"].iter().chain(line);
        match Cli::parse_from(line).command {
            Command::Range(args) => request(&args),
            _ => panic!("not range"),
        }
    };
    let plain = parse(&["k"]);
    assert_eq!(
        (&plain.key[..], &plain.range_end[..]),
        (&b"k"[..], &b""[..])
    );
    assert!(!plain.serializable && !plain.count_only && !plain.keys_only);
    let all = parse(&["--prefix", "--consistency=s", "--limit=7", "--keys-only"]);
    assert_eq!((&all.key[..], &all.range_end[..]), (&b"\0"[..], &b"\0"[..]));
    assert!(all.serializable && all.keys_only);
    assert_eq!(all.limit, 7);
    assert_eq!(parse(&["a", "f"]).range_end, "f");
}
