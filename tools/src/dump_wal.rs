//! `etcd-dump-wal`: what stands in a write-ahead log, of etcd or of Varve.
//!
//! Read-only: nothing is locked, written or renamed, so a live member's directory may be looked at. The
//! default listing and `--raw` print what `etcd-dump-logs` of 3.6 prints; `--json`, `--stat`, `--verify` and
//! the filters are ours. Where the log is damaged, everything before the damage is shown, then where and
//! why it stops.
//!
//! The log is read by `varve-wal`; this module chooses, decodes and prints.
use anyhow::Result;

mod args;
mod decoder;
mod filter;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod json;
mod list;
mod log;
mod place;
mod raw;
mod request;
mod schema;
mod start;
mod stat;
mod steady;
mod text;
mod tree;
mod verify;

pub use args::Cli;
pub(crate) use json::{bytes_value, conf_state, hex};

use crate::console::Console;
use args::Mode;
use place::{Place, file_name};

/// Does what the command line asks; false when the log is damaged.
///
/// Errors: the command line makes no sense, or the system refuses to read.
pub fn run(cli: &Cli, console: &mut Console<'_>) -> Result<bool> {
    let place = Place::find(cli)?;
    for note in &place.notes {
        console.note(note)?;
    }
    match cli.mode() {
        Mode::Raw => raw::run(cli, &place, console),
        Mode::Stat => stat::run(cli, &place, console),
        Mode::Verify => verify::run(cli, &place, console),
        Mode::List => list::run(cli, &place, console),
        Mode::Json => json::run(cli, &place, console),
    }
}
