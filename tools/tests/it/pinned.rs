//! What every tool prints about every golden data directory, against what a person has looked at.
//!
//! `tests/data/dumps` holds a file a directory. With `REWRITE=1` in the environment the files are written
//! anew; read the difference before you commit it.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::archive::members;
use crate::tool::{Run, run_in};

/// Lines of each output that are shown: from its beginning, and from its end.
const HEAD: usize = 6;
const TAIL: usize = 2;
/// Outputs up to so many lines are shown whole.
const WHOLE: usize = 20;
/// Longer lines are cut.
const WIDTH: usize = 100;

/// Archives whose outputs are shown; those of the other versions differ little, their checksums will do.
const SHOWN: [&str; 6] = [
    "-3.6.14", "v2store-", "torn-B1", "torn-F", "torn-G", "torn-I",
];

const COMMANDS: [(&str, &[&str]); 17] = [
    ("etcd-dump-wal", &["DIR"]),
    ("etcd-dump-wal", &["--start-index", "1", "DIR"]),
    (
        "etcd-dump-wal",
        &[
            "--start-index=1",
            "--members",
            "--entry-type=ConfigChange",
            "DIR",
        ],
    ),
    ("etcd-dump-wal", &["--json", "--start-index", "1", "DIR"]),
    ("etcd-dump-wal", &["--raw", "DIR"]),
    ("etcd-dump-wal", &["--stat", "DIR"]),
    ("etcd-dump-wal", &["--verify", "DIR"]),
    ("etcd-dump-snap", &["--v2-store", "DIR"]),
    ("etcd-dump-snap", &["--json", "DIR"]),
    ("etcd-dump-db", &["info", "DIR"]),
    (
        "etcd-dump-db",
        &["iterate-bucket", "--decode", "DIR", "key"],
    ),
    ("etcd-dump-db", &["scan-keys", "DIR", "0"]),
    ("etcd-dump-db", &["hash", "DIR"]),
    ("etcd-dump-db", &["hash-kv", "DIR"]),
    ("etcd-dump-db", &["check", "DIR"]),
    ("etcd-dump-db", &["pages", "DIR"]),
    ("etcd-dump-db", &["tree", "DIR", "key"]),
];

#[test]
fn outputs_on_every_golden_directory_are_as_pinned() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dumps");
    let rewrite = std::env::var_os("REWRITE").is_some();
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    members("", |name, dir| {
        let own = dir.file_name().unwrap().to_str().unwrap();
        let label = if own == name {
            format!("{name}.txt")
        } else {
            format!("{name}_{own}.txt")
        };
        let shown = SHOWN.iter().any(|part| name.contains(part));
        let text = describe(dir, shown);
        let file = data.join(&label);
        if rewrite {
            std::fs::write(&file, &text).unwrap();
        }
        let pinned = std::fs::read_to_string(&file).unwrap_or_default();
        if pinned != text {
            let differs = pinned.lines().zip(text.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{label}: {differs:?}"));
        }
        seen.push(file);
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if !seen.is_empty() {
        assert_eq!(stale(&data, &seen), Vec::<PathBuf>::new());
    }
}

/// Pinned outputs of what is no golden directory.
fn stale(data: &Path, seen: &[PathBuf]) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|e| e == "txt") && !seen.contains(file))
        .collect()
}

/// Every command with what it gave, the long outputs cut in the middle but for their digest.
fn describe(dir: &Path, shown: bool) -> String {
    let (parent, name) = (dir.parent().unwrap(), dir.file_name().unwrap());
    let name = name.to_str().unwrap();
    let mut text = String::new();
    for (tool, args) in COMMANDS {
        let args: Vec<_> = args
            .iter()
            .map(|a| if *a == "DIR" { name } else { a })
            .collect();
        let Run { code, out, err } = run_in(parent, tool, &args);
        let lines: Vec<_> = out.lines().collect();
        let digest = crc32c::crc32c(out.as_bytes());
        writeln!(
            text,
            "$ {tool} {}\n# exit {}, {} lines, crc32c {digest:08x}",
            args.join(" "),
            code.unwrap(),
            lines.len()
        )
        .unwrap();
        if !shown {
            continue;
        }
        let cut = lines.len() > WHOLE;
        for (index, line) in lines.iter().enumerate() {
            if !cut || index < HEAD || index >= lines.len() - TAIL {
                writeln!(text, "{}", shorten(line)).unwrap();
            } else if index == HEAD {
                text.push_str("...\n");
            }
        }
        for line in err.lines() {
            writeln!(text, "! {line}").unwrap();
        }
        text.push('\n');
    }
    text
}

/// A line without trailing blanks, which editors and diffs do not keep, and not too long.
fn shorten(line: &str) -> String {
    let line = line.trim_end();
    match line.char_indices().nth(WIDTH) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}...", &line[..end]),
    }
}
