//! Chores of the repository, each a subcommand: `cargo xtask codegen`, `cargo xtask tidy`.
//!
//! Run by people and by CI, never by the build: what it generates is committed.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]
#![expect(
    clippy::print_stderr,
    reason = "a command line tool complains on stderr"
)]

mod codegen;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  codegen            compile proto/proto/*.proto into proto/src/gen
  codegen --check    fail when proto/src/gen is not what codegen would write
  tidy               check the rules that the compiler does not know";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = workspace_root();
    let outcome = match args[..] {
        ["codegen"] => codegen::write(&root),
        ["codegen", "--check"] => codegen::check(&root),
        ["tidy"] => tidy::run(&root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The directory that holds the workspace's `Cargo.toml`.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
