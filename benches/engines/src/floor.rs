//! No engine at all: values of one length in a mapped file, found by multiplication. What remains of a
//! read when finding costs nothing; rows of reads show it, so that it can be seen how much an engine could
//! still gain.
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use memmap2::Mmap;

use crate::store::{Store, Values, consume};

pub struct Floor {
    file: File,
    map: Mmap,
    value_len: usize,
}

pub fn open(dir: &Path, value_len: usize) -> Result<Floor> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(dir.join("floor"))?;
    // SAFETY: the directory belongs to this run, and nobody writes to or cuts the file once it is filled;
    // it is opened anew for reading then.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(Floor {
        file,
        map,
        value_len,
    })
}

impl Floor {
    fn read(&self, key: u64) -> Result<u64> {
        let at = usize::try_from(key)? * self.value_len;
        let value = self.map.get(at..at + self.value_len);
        Ok(consume(value.with_context(|| format!("no value {key}"))?))
    }
}

impl Store for Floor {
    fn append(&mut self, range: Range<u64>, values: &Values, len: usize) -> Result<()> {
        let all: Vec<u8> = range
            .clone()
            .flat_map(|main| values.of(main, len))
            .collect();
        Ok(self.file.write_all_at(&all, range.start * len as u64)?)
    }

    fn delete(&mut self, _: &mut dyn Iterator<Item = u64>) -> Result<()> {
        bail!("nothing is deleted here")
    }

    fn get(&mut self, keys: &mut dyn Iterator<Item = u64>, _: bool) -> Result<u64> {
        keys.map(|key| self.read(key)).sum()
    }

    fn scan(&mut self, starts: &mut dyn Iterator<Item = u64>, len: u64) -> Result<u64> {
        let keys = starts.flat_map(|start| start..start + len);
        keys.map(|key| self.read(key)).sum()
    }
}
