//! Data directories that real etcds wrote, from `VARVE_GOLDEN`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The directory of the golden files, or the reason why there is none.
pub(crate) fn dir() -> Result<PathBuf, String> {
    let dir = std::env::var_os("VARVE_GOLDEN").ok_or("VARVE_GOLDEN is not set")?;
    Ok(PathBuf::from(dir))
}

/// Unpacks an archive under `into` and returns the data directory of its only member.
pub(crate) fn unpack(name: &str, into: &Path) -> Result<PathBuf, String> {
    let path = dir()?.join(format!("{name}.tar.zst"));
    let file = std::fs::File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut plain = zstd::Decoder::new(BufReader::new(file)).unwrap();
    plain.window_log_max(27).unwrap();
    tar::Archive::new(plain).unpack(into).unwrap();
    let data_dir = into.join(name);
    assert!(
        data_dir.join("member").is_dir(),
        "{name} is not one data directory"
    );
    Ok(data_dir)
}

/// Length and hash of every file below `dir`.
pub(crate) fn fingerprint(dir: &Path) -> BTreeMap<PathBuf, (usize, u64)> {
    let mut out = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let mut hasher = DefaultHasher::new();
                hasher.write(&bytes);
                out.insert(path, (bytes.len(), hasher.finish()));
            }
        }
    }
    out
}
