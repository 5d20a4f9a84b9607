//! The crate as others use it alone: the examples run and say what they should, and nothing that brings an
//! asynchronous runtime comes along.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An example's program, beside this test's: `cargo test` builds it, `cargo test --test it` does not.
fn example(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().unwrap();
    let path = this.parent()?.parent()?.join("examples").join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: {} is not built", path.display());
    None
}

fn run(program: &Path, argument: &Path) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_dozen_lines_open_write_read_watch_and_compact() {
    let Some(program) = example("embed") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let shown = run(&program, dir.path());
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 5, "{shown}");
    assert_eq!(lines[0], r#"at 2: b"color" = b"green", version 1"#);
    assert_eq!(lines[1], r#"at 3: b"color" = b"blue", version 2"#);
    assert!(lines[2].contains("mod_revision: 2") && lines[3].contains("mod_revision: 3"));
    assert!(lines[4].contains("required revision has been compacted"));
    assert!(dir.path().join("embed.db").is_file());
}

#[test]
fn a_program_follows_its_configuration() {
    let Some(program) = example("config_watch") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let shown = run(&program, dir.path());
    let (before, after) = shown.trim().split_once('\n').unwrap();
    assert_eq!(before, r#"at revision 2: {b"/config/level": b"info"}"#);
    let expected = r#"at revision 6: {b"/config/done": b"yes", b"/config/limit": b"10"}"#;
    assert_eq!(after, expected);
}

#[test]
fn no_asynchronous_runtime_comes_along() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal,build"])
        .args(["--package", "varve-mvcc", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(crates.contains(&"varve-backend") && crates.contains(&"prost"));
    for name in crates {
        let runtime = [
            "tokio", "async-", "smol", "futures", "hyper", "tonic", "mio",
        ];
        let found = runtime.iter().any(|runtime| name.starts_with(runtime));
        assert!(!found, "{name} comes along:\n{tree}");
    }
}
