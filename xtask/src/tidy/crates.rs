//! Who may depend on whom: the table of docs/ARCHITECTURE.md, held against the manifests.
//!
//! Only what a crate is built with counts; tests may look at anything.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Breach;

/// A crate's directory and the directories of those it may use. `None`: all of them.
const EDGES: [(&str, Option<&[&str]>); 15] = [
    ("proto", Some(&[])),
    ("vfs", Some(&[])),
    ("wal", Some(&["proto", "vfs"])),
    ("snap", Some(&["proto", "vfs"])),
    ("backend", Some(&[])),
    ("backend-btree", Some(&["backend", "vfs"])),
    ("backend-lsm", Some(&["backend", "vfs"])),
    ("mvcc", Some(&["backend", "proto"])),
    ("raft", Some(&["proto"])),
    ("raftnode", Some(&["raft", "wal", "snap", "vfs", "proto"])),
    ("server", None),
    ("tools", None),
    ("benches", None),
    ("sim", None),
    ("xtask", None),
];

/// Crates that may be asynchronous. `raftnode` may in its transport (see `sources`); `proto` has
/// tonic behind a feature.
const ASYNC: [&str; 6] = ["server", "tools", "benches", "sim", "xtask", "raftnode"];

/// Names, and beginnings of names, of crates that bring a runtime along.
const RUNTIMES: [&str; 6] = ["tokio", "hyper", "tonic", "axum", "async-", "futures"];

/// Crates that use no packages of others but these. The consensus core builds alone in seconds, and the
/// messages it speaks must not take that away.
const FEW: [(&str, &[&str]); 2] = [("raft", &["bytes"]), ("proto", &["bytes", "prost"])];

/// `metadata` is the output of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &str) -> Result<Vec<Breach>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is no JSON")?;
    let mut breaches = Vec::new();
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        let Some(directory) = name.strip_prefix("varve-") else {
            breaches.push(Breach::new(name, 0, "a package is named varve-<directory>"));
            continue;
        };
        let manifest = format!("{directory}/Cargo.toml");
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == directory) else {
            breaches.push(Breach::new(
                &manifest,
                0,
                "a crate the edge table does not know; it needs a reason in docs/adr",
            ));
            continue;
        };
        for dependency in list(package, "dependencies") {
            // Normal dependencies have no kind.
            if !dependency["kind"].is_null() {
                continue;
            }
            let optional = dependency["optional"].as_bool().unwrap_or_default();
            let hidden = directory == "proto" && optional;
            let used = text(dependency, "name");
            if let Some(used) = used.strip_prefix("varve-")
                && allowed.is_some_and(|allowed| !allowed.contains(&used))
            {
                breaches.push(Breach::new(
                    &manifest,
                    0,
                    format!("{directory} may not use {used}"),
                ));
            }
            let few = FEW.iter().find(|(known, _)| *known == directory);
            if !used.starts_with("varve-")
                && !hidden
                && few.is_some_and(|(_, packages)| !packages.contains(&used))
            {
                let what = format!("{directory} builds alone in seconds; {used} is not for it");
                breaches.push(Breach::new(&manifest, 0, what));
            }
            let runtime = RUNTIMES.iter().any(|runtime| used.starts_with(runtime));
            if runtime && !hidden && !ASYNC.contains(&directory) {
                let what = format!("{directory} is synchronous and may not use {used}");
                breaches.push(Breach::new(&manifest, 0, what));
            }
        }
    }
    Ok(breaches)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
