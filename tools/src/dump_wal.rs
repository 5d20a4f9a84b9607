//! `etcd-dump-wal`: what stands in a write-ahead log, of etcd or of Varve.
//!
//! Read-only: nothing is locked, written or renamed, so a live member's directory may be looked at. The
//! default listing and `--raw` print what `etcd-dump-logs` of 3.6 prints; `--json`, `--stat`, `--verify` and
//! the filters are ours. Where the log is damaged, everything before the damage is shown, then where and
//! why it stops.
//!
//! The log is read by `varve-wal`; this module chooses, decodes and prints.
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use varve_vfs::{DynFs, RealFs};

mod args;
mod decoder;
mod filter;
mod json;
mod list;
mod log;
mod raw;
mod request;
mod schema;
mod start;
mod stat;
mod text;
mod tree;
mod verify;

pub use args::Cli;
pub(crate) use args::double_dash;
pub(crate) use json::conf_state;
pub(crate) use text::octal_quoted;

use args::Mode;

/// Where output goes.
pub(crate) struct Console<'a> {
    pub(crate) out: &'a mut dyn Write,
    /// Notes and errors.
    pub(crate) err: &'a mut dyn Write,
    /// Whether `out` and `err` show colours.
    pub(crate) colours: bool,
}

impl Console<'_> {
    /// Says on `err` that something is wrong.
    pub(crate) fn complain(&mut self, what: &dyn std::fmt::Display) -> Result<()> {
        let (on, off) = if self.colours {
            ("\x1b[31m", "\x1b[0m")
        } else {
            ("", "")
        };
        writeln!(self.err, "{on}error:{off} {what}")?;
        Ok(())
    }

    /// Says on `err` something worth knowing.
    pub(crate) fn note(&mut self, what: &dyn std::fmt::Display) -> Result<()> {
        let (on, off) = if self.colours {
            ("\x1b[33m", "\x1b[0m")
        } else {
            ("", "")
        };
        writeln!(self.err, "{on}note:{off} {what}")?;
        Ok(())
    }

    /// A heading on `out`.
    pub(crate) fn heading(&mut self, what: &str) -> Result<()> {
        let (on, off) = if self.colours {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        writeln!(self.out, "{on}{what}{off}")?;
        Ok(())
    }
}

/// Where the parts of a member's data are.
struct Place {
    fs: DynFs,
    wal: PathBuf,
    /// Unknown when only the log's directory was given.
    snap: Option<PathBuf>,
}

/// Does what the command line asks; false when the log is damaged.
///
/// Output goes to `out`, notes and damage to `err`. Errors: the command line makes no sense, or the system
/// refuses to read.
pub fn run(cli: &Cli, out: &mut dyn Write, err: &mut dyn Write, colours: bool) -> Result<bool> {
    let fs = RealFs::shared();
    let wal = cli.wal_dir();
    let snap = cli.data_dir.as_ref().map(|dir| dir.join("member/snap"));
    let place = Place { fs, wal, snap };
    let mut console = Console { out, err, colours };
    match cli.mode() {
        Mode::Raw => raw::run(cli, &place, &mut console),
        Mode::Stat => stat::run(cli, &place, &mut console),
        Mode::Verify => verify::run(cli, &place, &mut console),
        Mode::List => list::run(cli, &place, &mut console),
        Mode::Json => json::run(cli, &place, &mut console),
    }
}

/// Opens everything that is left of the log.
fn open_all(place: &Place) -> Result<varve_wal::ReadOnly> {
    let read = varve_wal::Wal::open_all_read_only(&place.fs, &place.wal);
    read.with_context(|| format!("no log can be read in {}", place.wal.display()))
}

/// The last part of a path, for output that has named the directory already.
fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
