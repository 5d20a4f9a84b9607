//! `etcd-dump-snap`: what stands in raft snapshots and in databases received from a leader.
//!
//! Read-only: nothing is locked, written or renamed (a start sets broken files aside; this does not), so a
//! live member's directory may be looked at. Files are read by `varve-snap`; this module takes their
//! content apart and prints it.
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use varve_proto::walpb;
use varve_vfs::DynFs;
use varve_wal::Wal;

use crate::console::Console;
use crate::dump_db::{DbFile, Summary};
use crate::look_fs::LookFs;

mod args;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod snapshot;
mod store;

pub use args::Cli;

use snapshot::Snapshot;

const SNAP: &str = ".snap";
/// How long to read a database that changes again.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);

const DB: &str = ".snap.db";

/// One file, looked at.
#[derive(Debug)]
enum Report {
    Snapshot(Box<Snapshot>),
    Database(Box<Summary>),
}

/// Does what the command line asks; false when a file is damaged.
///
/// Errors: a path leads nowhere, or the system refuses to read.
pub fn run(cli: &Cli, console: &mut Console<'_>) -> Result<bool> {
    let fs = LookFs::shared();
    let mut sound = true;
    let mut count = 0;
    for path in &cli.paths {
        let (files, known) = find(&fs, path, cli.wal_dir.as_deref())?;
        for file in files {
            let report = Report::of(&fs, &file, known.as_deref(), console.is_watched())?;
            count += 1;
            sound &= report.show(cli, &file, console)?;
        }
    }
    if count == 0 {
        console.note(&"no snapshots here")?;
    }
    Ok(sound)
}

/// The files a path stands for, oldest first, and the snapshots its log knows.
fn find(
    fs: &DynFs,
    path: &Path,
    wal_dir: Option<&Path>,
) -> Result<(Vec<PathBuf>, Option<Vec<walpb::Snapshot>>)> {
    let meta = fs
        .metadata(path)
        .with_context(|| format!("cannot look at {}", path.display()))?;
    let below = path.join("member/snap");
    let (dir, default_wal) = match fs.exists(&below)? {
        true => (below, path.join("member/wal")),
        false if meta.is_dir => (path.to_path_buf(), path.with_file_name("wal")),
        false => {
            let wal = varve_vfs::parent_dir(path).with_file_name("wal");
            (path.to_path_buf(), wal)
        }
    };
    let wal = wal_dir.map_or(default_wal, Path::to_path_buf);
    // A log that is missing or damaged is no concern of this tool.
    let known = Wal::valid_snapshot_entries(fs, &wal).ok();
    if !fs.metadata(&dir)?.is_dir {
        return Ok((vec![dir], known));
    }
    let names = fs.read_dir(&dir)?;
    let files = names
        .iter()
        .filter(|name| name.ends_with(SNAP) || name.ends_with(DB));
    Ok((files.map(|name| dir.join(name)).collect(), known))
}

impl Report {
    fn of(
        fs: &DynFs,
        file: &Path,
        known: Option<&[walpb::Snapshot]>,
        watched: bool,
    ) -> Result<Self> {
        let name = file.to_string_lossy();
        if name.ends_with(DB) {
            // Nobody changes what was received; a moment's patience covers a path that says otherwise.
            let database = DbFile::locate(file, DATABASE_PATIENCE, watched)?;
            return Ok(Self::Database(Box::new(Summary::read(&database)?)));
        }
        if name.ends_with(SNAP) || name.ends_with(".broken") {
            return Snapshot::read(fs, file, known)
                .map(Box::new)
                .map(Self::Snapshot);
        }
        bail!("{name} is neither a {SNAP} nor a {DB} file");
    }

    /// Prints the file; false when it is damaged.
    fn show(&self, cli: &Cli, file: &Path, console: &mut Console<'_>) -> Result<bool> {
        let flaw = match self {
            Self::Snapshot(snapshot) => snapshot.flaw(),
            Self::Database(database) => database.flaw.clone(),
        };
        if cli.json {
            writeln!(console.out, "{}", self.json(cli, file, flaw.as_deref()))?;
        } else if cli.verify {
            let verdict = if flaw.is_none() { "OK" } else { "DAMAGED" };
            writeln!(console.out, "{verdict}: {}", file.display())?;
        } else {
            console.heading(&file.display().to_string())?;
            match self {
                Self::Snapshot(snapshot) => snapshot.print(cli.v2_store, console)?,
                Self::Database(database) => database.print(console)?,
            }
        }
        if let Some(flaw) = &flaw {
            console.complain(flaw)?;
        }
        Ok(flaw.is_none())
    }

    fn json(&self, cli: &Cli, file: &Path, flaw: Option<&str>) -> Json {
        let mut object = match self {
            Self::Snapshot(snapshot) => snapshot.json(cli.v2_store),
            Self::Database(database) => database.json(),
        };
        object["file"] = json!(file.display().to_string());
        object["ok"] = json!(flaw.is_none());
        object["flaw"] = json!(flaw);
        object
    }
}
