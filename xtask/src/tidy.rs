//! Rules that the compiler and clippy do not know.
//!
//! `cargo xtask tidy` walks the files git knows or would take, and prints every breach at once.

mod crates;
mod formats;
mod sources;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    /// Path from the workspace root.
    file: String,
    /// From 1; 0 when the file as a whole is meant.
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

impl Breach {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
        }
    }
}

/// Fails when there is any breach; the error lists them all.
pub(crate) fn run(root: &Path) -> Result<String> {
    let files = files(root)?;
    let mut breaches = crates::check(&metadata(root)?)?;
    for file in &files {
        let path = root.join(file);
        if sources::covers(file) {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {file}"))?;
            breaches.extend(sources::check(file, &String::from_utf8_lossy(&bytes)));
        } else if file.starts_with("docs/formats/") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
            breaches.extend(formats::check(file, &text, |described| {
                fs::read(root.join(described)).ok()
            }));
        }
    }
    if breaches.is_empty() {
        return Ok(format!("{} files are tidy", files.len()));
    }
    let list: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    bail!("{} breaches\n{}", list.len(), list.join("\n"));
}

/// Tracked files, and untracked ones that are not ignored, as paths from the root.
fn files(root: &Path) -> Result<Vec<String>> {
    let list = stdout(
        root,
        "git",
        &["ls-files", "-z", "-co", "--exclude-standard"],
    )?;
    let mut files: Vec<String> = list
        .split('\0')
        .filter(|file| !file.is_empty() && root.join(file).is_file())
        .map(str::to_owned)
        .collect();
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn metadata(root: &Path) -> Result<String> {
    stdout(
        root,
        env!("CARGO"),
        &[
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ],
    )
}

fn stdout(root: &Path, program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no UTF-8"))
}

#[cfg(test)]
mod tests;
