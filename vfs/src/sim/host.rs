//! Directory trees in and out of the simulated disk.
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::SimFs;
use crate::fs::{File, Fs as _, OpenOptions};

const CHUNK: usize = 1 << 20;

pub(super) fn load(sim: &SimFs, from: &Path, to: &Path) -> io::Result<()> {
    sim.create_dir_all(to, fs::metadata(from)?.permissions().mode() & 0o777)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            load(sim, &entry.path(), &target)?;
        } else {
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            let options = OpenOptions::create_truncate().with_mode(mode);
            copy_in(
                fs::File::open(entry.path())?,
                sim.open(&target, options)?.as_ref(),
            )?;
        }
    }
    Ok(())
}

fn copy_in(mut from: fs::File, to: &dyn File) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let n = from.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        to.write_all_at(&buf[..n], at)?;
        // Keeps the journal, which copies what it holds, from growing to the size of the file.
        to.sync_data()?;
        at += n as u64;
    }
}

pub(super) fn dump(sim: &SimFs, from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for name in sim.read_dir(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        let meta = sim.metadata(&source)?;
        if meta.is_dir {
            dump(sim, &source, &target)?;
        } else {
            let file = sim.open(&source, OpenOptions::read_only())?;
            copy_out(file.as_ref(), fs::File::create(&target)?)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(meta.mode))?;
        }
    }
    Ok(())
}

fn copy_out(from: &dyn File, mut to: fs::File) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let n = from.read_at(&mut buf, at)?;
        if n == 0 {
            return Ok(());
        }
        to.write_all(&buf[..n])?;
        at += n as u64;
    }
}
