//! What is done to the directory beside writing snapshots: leftovers and old files.
use std::path::{Path, PathBuf};

use varve_vfs::DynFs;
use varve_vfs::durable::TEMPORARY_PREFIX;

use crate::error::{Error, Result};
use crate::name::{SUFFIX, parse_db_name};

/// What a defragmentation that a crash interrupted leaves behind begins with.
const DEFRAG_PREFIX: &str = "db.tmp";

pub(crate) fn names(fs: &DynFs, dir: &Path) -> Result<Vec<String>> {
    fs.read_dir(dir).map_err(Error::io("list", dir))
}

/// Unfinished files of this crate, of an interrupted transfer and of an interrupted defragmentation.
pub(crate) fn remove_leftovers(fs: &DynFs, dir: &Path) -> Result<Vec<PathBuf>> {
    remove(fs, dir, |name| {
        name.starts_with(TEMPORARY_PREFIX) || name.starts_with(DEFRAG_PREFIX)
    })
}

/// Databases received for snapshots below `index`.
pub(crate) fn remove_dbs_below(fs: &DynFs, dir: &Path, index: u64) -> Result<Vec<PathBuf>> {
    remove(fs, dir, |name| {
        parse_db_name(name).is_some_and(|found| found < index)
    })
}

/// All snapshots but the newest `keep`, by the order of their names.
pub(crate) fn purge(fs: &DynFs, dir: &Path, keep: usize) -> Result<Vec<PathBuf>> {
    let names = names(fs, dir)?;
    let snapshots: Vec<_> = names.iter().filter(|name| name.ends_with(SUFFIX)).collect();
    snapshots[..snapshots.len().saturating_sub(keep)]
        .iter()
        .map(|name| remove_one(fs, dir, name))
        .collect()
}

fn remove(fs: &DynFs, dir: &Path, unwanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let names = names(fs, dir)?;
    names
        .iter()
        .filter(|name| unwanted(name))
        .map(|name| remove_one(fs, dir, name))
        .collect()
}

// A removal that a crash undoes is simply done again, so the directory is not synced.
fn remove_one(fs: &DynFs, dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    fs.remove_file(&path).map_err(Error::io("remove", &path))?;
    Ok(path)
}
