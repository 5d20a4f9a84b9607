//! Reads the data-driven test format of the corpora (cockroachdb/datadriven 1.0.2).
//!
//! A case is a directive, `command arg key=value key=(a,b)`, optional input lines, a line `----`, and
//! the expected output up to a blank line. Output that has blank lines itself stands between doubled
//! `----` lines. `#` begins a comment; a line that ends in `\` continues.

use std::path::{Path, PathBuf};

use crate::diff::diff;

/// `key`, `key=value` or `key=(a,b)`.
#[derive(Debug)]
pub(crate) struct Arg {
    pub(crate) key: String,
    pub(crate) vals: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Case {
    /// Of the directive, from 1.
    line: usize,
    /// Everything before the directive, the directive and its input, as they stand.
    text: String,
    pub(crate) cmd: String,
    pub(crate) args: Vec<Arg>,
    pub(crate) input: String,
    expected: String,
}

impl Case {
    /// The arguments without a value.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.args
            .iter()
            .filter(|arg| arg.vals.is_empty())
            .map(|arg| arg.key.as_str())
    }

    /// The first argument, which must be a node.
    pub(crate) fn node(&self) -> usize {
        self.words().next().unwrap().parse::<usize>().unwrap() - 1
    }

    /// All arguments without a value, as positions of nodes.
    pub(crate) fn nodes(&self) -> Vec<usize> {
        self.words()
            .map(|word| word.parse::<usize>().unwrap() - 1)
            .collect()
    }

    /// The only value of `key`, if it is given.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let arg = self.args.iter().find(|arg| arg.key == key)?;
        arg.vals.first().map(String::as_str)
    }
}

fn parse_args(directive: &str) -> (String, Vec<Arg>) {
    // Split at spaces outside of parentheses.
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for char in directive.chars() {
        match char {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if char.is_whitespace() && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(char);
        }
    }
    let mut parts = parts.into_iter().filter(|part| !part.is_empty());
    let cmd = parts.next().unwrap();
    let args = parts.map(|part| match part.split_once('=') {
        None => Arg {
            key: part,
            vals: Vec::new(),
        },
        Some((key, value)) => {
            let vals = match value
                .strip_prefix('(')
                .and_then(|value| value.strip_suffix(')'))
            {
                Some("") => Vec::new(),
                Some(list) => list.split(',').map(|val| val.trim().to_owned()).collect(),
                None => vec![value.to_owned()],
            };
            Arg {
                key: key.to_owned(),
                vals,
            }
        }
    });
    (cmd, args.collect())
}

fn parse(content: &str) -> (Vec<Case>, String) {
    let lines: Vec<&str> = content.lines().collect();
    let (mut cases, mut text, mut at) = (Vec::new(), String::new(), 0);
    let take = |at: &mut usize, text: &mut String| {
        let line = lines[*at];
        *at += 1;
        text.push_str(line);
        text.push('\n');
        line
    };
    while at < lines.len() {
        let mut directive = take(&mut at, &mut text).trim().to_owned();
        if directive.is_empty() || directive.starts_with('#') {
            continue;
        }
        let line = at;
        while let Some(start) = directive.strip_suffix('\\') {
            directive = format!("{start} {}", take(&mut at, &mut text).trim());
        }
        let mut input = String::new();
        while lines[at] != "----" {
            input.push_str(take(&mut at, &mut text));
            input.push('\n');
        }
        at += 1;
        let doubled = lines.get(at) == Some(&"----");
        let mut expected = String::new();
        if doubled {
            at += 1;
            while !(lines[at] == "----" && lines.get(at + 1) == Some(&"----")) {
                expected.push_str(lines[at]);
                expected.push('\n');
                at += 1;
            }
            at += 2;
        } else {
            while at < lines.len() && !lines[at].is_empty() {
                expected.push_str(lines[at]);
                expected.push('\n');
                at += 1;
            }
        }
        let (cmd, args) = parse_args(&directive);
        let text = std::mem::take(&mut text);
        cases.push(Case {
            line,
            text,
            cmd,
            args,
            input: input.trim().to_owned(),
            expected,
        });
    }
    (cases, text)
}

/// Runs the cases of a file, in order. Panics with a diff if an output differs; with `rewrite` it
/// records the outputs instead, for a person to read.
pub(crate) fn run_file(path: &Path, rewrite: bool, mut handle: impl FnMut(&Case) -> String) {
    let content = std::fs::read_to_string(path).unwrap();
    let (cases, rest) = parse(&content);
    assert!(!cases.is_empty(), "{} has no cases", path.display());
    let (mut recorded, mut failures) = (String::new(), String::new());
    for case in &cases {
        let mut got = handle(case);
        if !got.ends_with('\n') && !got.is_empty() {
            got.push('\n');
        }
        let fence = if got.contains("\n\n") {
            "----\n----\n"
        } else {
            "----\n"
        };
        let close = if got.contains("\n\n") { fence } else { "" };
        recorded.extend([case.text.as_str(), fence, got.as_str(), close]);
        if got != case.expected {
            let place = format!("{}:{}: {}\n", path.display(), case.line, case.cmd);
            failures.extend([place, diff(&case.expected, &got), "\n".to_owned()]);
        }
    }
    if rewrite {
        std::fs::write(path, recorded + &rest).unwrap();
    } else {
        assert!(
            failures.is_empty(),
            "expected (-) and actual (+) output differ\n{failures}"
        );
    }
}

/// The corpus of this name, if the environment says where the corpora are.
pub(crate) fn corpus(name: &str) -> Option<Vec<PathBuf>> {
    let Ok(root) = std::env::var("VARVE_RAFT_CORPORA") else {
        skipped();
        return None;
    };
    let files = scripts(&Path::new(&root).join(name));
    assert!(!files.is_empty(), "no corpus {name} in {root}");
    Some(files)
}

#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn skipped() {
    println!("skipped: VARVE_RAFT_CORPORA does not say where etcd's raft corpora are");
}

/// The scripts in a directory, sorted.
pub(crate) fn scripts(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}
