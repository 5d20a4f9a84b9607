//! Data directories that real etcds wrote, unpacked into a simulated disk.
//!
//! The archives stand in the directory that `VARVE_GOLDEN` names; without it the tests that need them
//! say so and pass.
use std::io::Read;
use std::path::{Path, PathBuf};

use varve_vfs::{Fs, OpenOptions, SimFs};

const CHUNK: usize = 64 << 10;
/// What `zstd --long=27` asks of the reader.
const WINDOW_LOG: u32 = 27;

/// One archive.
pub(crate) struct Archive {
    pub(crate) name: String,
    pub(crate) disk: SimFs,
    /// Directories that hold segments.
    pub(crate) wal_dirs: Vec<PathBuf>,
}

/// The archives whose name begins with `prefix`, one after the other; none without `VARVE_GOLDEN`.
pub(crate) fn archives(prefix: &str) -> impl Iterator<Item = Archive> {
    let dir = std::env::var_os("VARVE_GOLDEN").map(PathBuf::from);
    let mut paths = Vec::new();
    match &dir {
        None => eprintln!("skipped: VARVE_GOLDEN does not name the directory of golden archives"),
        Some(dir) => {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if name.starts_with(prefix) && name.ends_with(".tar.zst") {
                    paths.push(path);
                }
            }
            assert!(
                !paths.is_empty(),
                "no archive {prefix}* in {}",
                dir.display()
            );
        }
    }
    paths.sort();
    paths.into_iter().map(|path| unpack(&path))
}

fn unpack(path: &Path) -> Archive {
    let name = path
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .trim_end_matches(".tar.zst")
        .to_owned();
    let mut decoder = zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    decoder.window_log_max(WINDOW_LOG).unwrap();
    let mut tar = tar::Archive::new(decoder);
    let disk = SimFs::new();
    let mut wal_dirs = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = Path::new("/").join(entry.path().unwrap());
        if entry.header().entry_type().is_dir() {
            disk.create_dir_all(&path, 0o700).unwrap();
            if path.ends_with("wal") {
                wal_dirs.push(path);
            }
        } else if path.parent().unwrap().ends_with("wal") {
            copy(&mut entry, &disk, &path);
        }
    }
    disk.sync_everything();
    Archive {
        name,
        disk,
        wal_dirs,
    }
}

/// Copies a file, leaving holes where it is zero.
fn copy(from: &mut impl Read, disk: &SimFs, path: &Path) {
    let file = disk.open(path, OpenOptions::create_new()).unwrap();
    let (mut chunk, zeros) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    loop {
        let mut len = 0;
        while len < CHUNK {
            match from.read(&mut chunk[len..]).unwrap() {
                0 => break,
                n => len += n,
            }
        }
        if len == 0 {
            break;
        }
        if chunk[..len] != zeros[..len] {
            file.write_all_at(&chunk[..len], at).unwrap();
        }
        at += len as u64;
    }
    file.set_len(at).unwrap();
}
