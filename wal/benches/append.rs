//! What the log costs beside the bytes it writes. `cargo bench -p varve-wal`, about a minute.
//!
//! Every comparison is made of alternating single operations, so that whatever else the machine does
//! meets both sides alike; figures are medians. The log is kept under the directory that
//! `VARVE_BENCH_DIR` names (the temporary directory without it): give one on the disk in question, since
//! a sync of a file system in memory costs nothing. With `VARVE_BENCH_KEEP=DIR` the log that is replayed
//! stays in DIR, for other readers (`benches/go-wal`).
#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]
use std::io::Write as _;

#[path = "append/log.rs"]
mod log;
#[path = "append/replay.rs"]
mod replay;
#[path = "append/sustained.rs"]
mod sustained;
#[path = "append/synced.rs"]
mod synced;
#[path = "append/volume.rs"]
mod volume;

fn main() {
    // `cargo bench` and `cargo test` hand over options of their own harness.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let mut out = std::io::stdout().lock();
    if wanted("synced") {
        synced::run(&mut out);
    }
    if wanted("sustained") {
        sustained::run(&mut out);
    }
    if wanted("volume") {
        volume::run(&mut out);
    }
    if wanted("replay") {
        replay::run(&mut out);
    }
    out.flush().unwrap();
}

/// The value below which `part` of the sorted values lie.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into the values"
    )]
    let at = ((sorted.len() - 1) as f64 * part) as usize;
    sorted[at]
}
