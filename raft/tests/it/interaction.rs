//! Whole clusters, scripted: etcd's interaction corpus, and scenarios of our own in its language.

mod cluster;
mod commands;
mod output;
mod stabilize;
mod storage;

use std::path::Path;

use crate::datadriven::{corpus, run_file, scripts};
use cluster::Cluster;

fn run_script(path: &Path, rewrite: bool) {
    let mut cluster = Cluster::new();
    run_file(path, rewrite, |case| cluster.handle(case));
}

#[test]
fn clusters_interact_as_in_the_corpus() {
    for file in corpus("interaction").unwrap_or_default() {
        run_script(&file, false);
    }
}

#[test]
fn clusters_interact_as_in_our_own_scenarios() {
    // REWRITE=1 records what happens now; commit that only once you have understood every line.
    let rewrite = std::env::var("REWRITE").is_ok_and(|value| value == "1");
    let files = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    assert!(!files.is_empty(), "no scenarios");
    for file in files {
        run_script(&file, rewrite);
    }
}
