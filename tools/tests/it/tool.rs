//! The tools as programs, and what they must leave alone.
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// What a run of a tool gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

fn binary(tool: &str) -> &'static str {
    match tool {
        "etcd-dump-wal" => env!("CARGO_BIN_EXE_etcd-dump-wal"),
        "etcd-dump-snap" => env!("CARGO_BIN_EXE_etcd-dump-snap"),
        "etcd-dump-db" => env!("CARGO_BIN_EXE_etcd-dump-db"),
        other => panic!("{other} is none of the tools"),
    }
}

/// A command that runs a tool.
pub(crate) fn command(tool: &str) -> Command {
    Command::new(binary(tool))
}

/// Runs a tool in a directory.
pub(crate) fn run_in(dir: &Path, tool: &str, args: &[&str]) -> Run {
    let output = command(tool).args(args).current_dir(dir).output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a tool on a path, which comes after the arguments.
pub(crate) fn run(tool: &str, args: &[&str], path: &Path) -> Run {
    let args = [args, &[path.to_str().unwrap()]].concat();
    run_in(Path::new("/"), tool, &args)
}

/// Names, sizes, times, modes and content below a directory.
pub(crate) fn state_of(dir: &Path) -> Vec<(String, [i64; 4], u32)> {
    let mut state = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.metadata().unwrap();
        let numbers = [
            meta.len().cast_signed(),
            meta.mtime(),
            meta.mtime_nsec(),
            i64::from(meta.mode()),
        ];
        let digest = if meta.is_dir() {
            state.extend(state_of(&path));
            0
        } else {
            crc32c::crc32c(&std::fs::read(&path).unwrap())
        };
        state.push((path.to_str().unwrap().to_owned(), numbers, digest));
    }
    state.sort();
    state
}
