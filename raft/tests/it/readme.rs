//! What the README says is tested is tested: every name in its tables is that of a test, and every script
//! is listed.
//!
//! In a row of a table, a name in backticks that ends in `.rs` or `.txt` is a file; after the name of a
//! file of tests come the names of tests in it, until the next file. Under a heading whose first paragraph
//! says "unless another file is named", rows begin with the file named there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names in backticks, in order.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether a name is that of a file of this kind.
fn is(name: &str, kind: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == kind)
}

/// Whether `text` has a test of this name.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let mut attribute = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") {
            attribute = true;
        } else if line.starts_with("fn ") {
            if attribute && line.starts_with(&head) {
                return true;
            }
            attribute = false;
        }
    }
    false
}

/// Where a file is that the README calls by a short name: of integration tests, or of the sources.
fn file(name: &str) -> Option<PathBuf> {
    let integration = root().join("tests/it").join(name);
    let source = root().join("src").join(name);
    [integration, source]
        .into_iter()
        .find(|path| Path::is_file(path))
}

/// What is wrong with the README, and how many tests it names.
fn check(readme: &str) -> (Vec<String>, usize) {
    let (mut wrong, mut tests) = (Vec::new(), 0);
    let mut default = None;
    for line in readme.lines() {
        if line.starts_with('#') {
            default = None;
        }
        if line.contains("unless another file is named") {
            default = quoted(line).find(|name| is(name, "rs"));
        }
        if !line.starts_with('|') {
            continue;
        }
        let mut current = default;
        for name in quoted(line) {
            if is(name, "rs") {
                if file(name).is_none() {
                    wrong.push(format!("there is no file {name}"));
                }
                current = Some(name);
            } else if is(name, "txt") {
                let short = name.strip_prefix("tests/data/").unwrap_or(name);
                if !root().join("tests/data").join(short).is_file() {
                    wrong.push(format!("there is no script {name}"));
                }
            } else if let Some(of) = current
                && name.matches('_').count() >= 2
                && !name.contains(' ')
            {
                let text = file(of).and_then(|path| fs::read_to_string(path).ok());
                tests += 1;
                if !has_test(&text.unwrap_or_default(), name) {
                    wrong.push(format!("there is no test {name} in {of}"));
                }
            }
        }
    }
    (wrong, tests)
}

#[test]
fn every_test_the_readme_names_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (wrong, tests) = check(&readme);
    assert_eq!(wrong, [""; 0]);
    assert!(tests > 100, "{tests} names: the tables are not read");
}

#[test]
fn a_name_that_is_no_test_is_found() {
    let rows = "| x | `readme.rs`: `a_name_that_is_no_test_is_found`, `not_a_real_test` |\n\
                | y | `no_such_file.rs` |\n\
                | z | `no_such_script.txt`, `tests/data/stale_read.txt` |\n\
                not in a row: `not_a_real_test`";
    let (wrong, tests) = check(rows);
    assert_eq!(tests, 2);
    assert_eq!(
        wrong,
        [
            "there is no test not_a_real_test in readme.rs",
            "there is no file no_such_file.rs",
            "there is no script no_such_script.txt",
        ]
    );
    assert!(!has_test("fn has_no_attribute() {}", "has_no_attribute"));
}

#[test]
fn every_script_is_listed_with_what_it_covers() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let listed: BTreeSet<String> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| quoted(line).next().map(str::to_owned))
        .filter(|name| is(name, "txt"))
        .collect();
    let there: BTreeSet<String> = fs::read_dir(root().join("tests/data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn the_example_of_three_nodes_stays_short() {
    let example = fs::read_to_string(root().join("examples/three_nodes.rs")).unwrap();
    let lines = example.lines().count();
    assert!(lines <= 80, "{lines} lines");
}
