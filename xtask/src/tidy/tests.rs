//! Each rule, on a text that breaks it and on one that does not.

use super::*;

const DOC: &str = "//! A module.\n";

/// The lines of `text`, taken for `file`, that break a rule.
fn lines(file: &str, text: &str) -> Vec<usize> {
    sources::check(file, text)
        .iter()
        .map(|breach| breach.line)
        .collect()
}

#[test]
fn a_long_file_needs_a_reason() {
    let body = "fn f() {}\n".repeat(600);
    assert_eq!(lines("a/src/b.rs", &format!("{DOC}{body}")), [0]);
    let excused = format!("{DOC}//! Longer than 600 lines because one table.\n{body}");
    assert_eq!(lines("a/src/b.rs", &excused), [0; 0]);
    let short = "fn f() {}\n".repeat(599);
    assert_eq!(lines("a/src/b.rs", &format!("{DOC}{short}")), [0; 0]);
}

#[test]
fn a_module_says_what_it_is() {
    assert_eq!(lines("a/src/b.rs", "use std::fmt;\n"), [1]);
    assert_eq!(lines("a/src/b.rs", ""), [1]);
    assert_eq!(
        lines("a/src/b.rs", "// Licence.\n\n//! A module.\n"),
        [0; 0]
    );
    assert_eq!(lines("a/src/b/tests.rs", "use super::*;\n"), [0; 0]);
    assert_eq!(lines("a/Cargo.toml", "[package]\n"), [0; 0]);
}

#[test]
fn sources_are_ascii() {
    assert_eq!(lines("a/Cargo.toml", "a = 1\nb = \"\u{e9}\"\n"), [2]);
}

#[test]
fn unfinished_work_is_found_and_parts_of_words_are_not() {
    for word in [
        concat!("to", "do!()"),
        concat!("FIX", "ME"),
        concat!("// XX", "X: why"),
    ] {
        assert_eq!(
            lines("a/src/b.rs", &format!("{DOC}    {word}\n")),
            [2],
            "{word}"
        );
    }
    assert_eq!(
        lines(
            "a/src/b.rs",
            &format!("{DOC}let s = \"aXX{0}b_XX{0}\";\n", "X")
        ),
        [0; 0]
    );
}

#[test]
fn tests_run_and_assert() {
    let ignored = concat!("#[", "ignore = \"slow\"]");
    assert_eq!(lines("a/src/b.rs", &format!("{DOC}    {ignored}\n")), [2]);
    let bare = concat!("matches", "!(x, Some(_));");
    assert_eq!(lines("a/src/b.rs", &format!("{DOC}    {bare}\n")), [2]);
    assert_eq!(
        lines("a/src/b.rs", &format!("{DOC}    assert!({bare}\n")),
        [0; 0]
    );
}

#[test]
fn raftnode_is_synchronous_outside_its_transport() {
    let text = format!("{DOC}use tokio::net::TcpStream;\n");
    assert_eq!(lines("raftnode/src/driver.rs", &text), [2]);
    assert_eq!(lines("raftnode/src/transport/stream.rs", &text), [0; 0]);
    assert_eq!(lines("server/src/rpc.rs", &text), [0; 0]);
}

#[test]
fn generated_code_is_not_looked_at() {
    assert!(!sources::covers("proto/src/gen/raftpb.rs"));
    assert!(sources::covers("proto/src/lib.rs"));
}

fn crate_breaches(name: &str, dependency: &str, rest: &str) -> Vec<String> {
    let metadata = format!(
        r#"{{"packages":[{{"name":"{name}","dependencies":[{{"name":"{dependency}",{rest}}}]}}]}}"#
    );
    let breaches = crates::check(&metadata).unwrap();
    breaches.into_iter().map(|breach| breach.what).collect()
}

#[test]
fn edges_point_down() {
    let normal = r#""kind":null,"optional":false"#;
    assert_eq!(
        crate_breaches("varve-raft", "varve-wal", normal),
        ["raft may not use wal"]
    );
    assert!(crate_breaches("varve-raft", "varve-proto", normal).is_empty());
    assert!(crate_breaches("varve-raft", "varve-wal", r#""kind":"dev""#).is_empty());
    assert!(crate_breaches("varve-tools", "varve-wal", normal).is_empty());
    assert_eq!(crate_breaches("varve-utils", "bytes", normal).len(), 1);
    assert_eq!(crate_breaches("other", "bytes", normal).len(), 1);
}

#[test]
fn a_runtime_stays_above() {
    let normal = r#""kind":null,"optional":false"#;
    assert_eq!(
        crate_breaches("varve-mvcc", "tokio-util", normal),
        ["mvcc is synchronous and may not use tokio-util"]
    );
    assert!(crate_breaches("varve-server", "tokio", normal).is_empty());
    assert!(crate_breaches("varve-proto", "tonic", r#""kind":null,"optional":true"#).is_empty());
    assert_eq!(crate_breaches("varve-proto", "tonic", normal).len(), 2);
}

#[test]
fn the_consensus_core_stands_on_little() {
    let normal = r#""kind":null,"optional":false"#;
    assert!(crate_breaches("varve-raft", "bytes", normal).is_empty());
    assert_eq!(
        crate_breaches("varve-raft", "thiserror", normal),
        ["raft builds alone in seconds; thiserror is not for it"]
    );
    assert_eq!(crate_breaches("varve-proto", "thiserror", normal).len(), 1);
    assert!(crate_breaches("varve-raft", "proptest", r#""kind":"dev""#).is_empty());
    assert!(crate_breaches("varve-raftnode", "thiserror", normal).is_empty());
}

#[test]
fn a_description_is_stale_once_its_format_changed() {
    let read = |path: &str| (path == "wal/src/format.rs").then(|| b"const A: u8 = 1;".to_vec());
    let hash = formats::hash(b"const A: u8 = 1;");
    let check = |line: &str| formats::check("docs/formats/wal.md", line, read).map(|b| b.what);
    assert_eq!(
        check(&format!(
            "<!-- format-hash: wal/src/format.rs {hash} -->\n# WAL"
        )),
        None
    );
    assert_eq!(check("# No mark"), None);
    let stale = check("<!-- format-hash: wal/src/format.rs 00ff -->").unwrap();
    assert!(stale.contains(&hash), "{stale}");
    assert!(
        check("<!-- format-hash: wal/src/format.rs -->")
            .unwrap()
            .contains("write")
    );
    assert!(
        check("<!-- format-hash: no/such.rs 00ff -->")
            .unwrap()
            .contains("not there")
    );
}

/// The known answer for the empty input.
#[test]
fn the_hash_is_sha_256() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(formats::hash(b""), empty);
}
