//! Data directories that real etcds wrote, unpacked into a scratch directory.
//!
//! The archives stand in the directory that `VARVE_GOLDEN` names; without it the tests that need them
//! say so and pass.
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

const CHUNK: usize = 64 << 10;

/// Members' data directories in the archives whose name begins with `prefix`, with the name.
pub(crate) fn members(prefix: &str, mut each: impl FnMut(&str, &Path)) {
    let Some(golden) = std::env::var_os("VARVE_GOLDEN") else {
        eprintln!("skipped: VARVE_GOLDEN does not name the directory of golden archives");
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name
            .strip_suffix(".tar.zst")
            .filter(|n| n.starts_with(prefix))
        else {
            continue;
        };
        let scratch = tempfile::tempdir().unwrap();
        for dir in unpack(&path, scratch.path()) {
            each(name, &dir);
            seen += 1;
        }
    }
    assert!(seen > 0, "no archive {prefix}*");
}

/// Unpacks an archive; the directories that hold a `member` directory.
fn unpack(archive: &Path, to: &Path) -> Vec<PathBuf> {
    let mut decoder = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut dirs = Vec::new();
    for entry in tar::Archive::new(decoder).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = to.join(entry.path().unwrap());
        if entry.header().entry_type().is_dir() {
            std::fs::create_dir_all(&path).unwrap();
            if path.ends_with("member") {
                dirs.push(path.parent().unwrap().to_path_buf());
            }
        } else {
            copy_sparse(&mut entry, &path);
        }
    }
    dirs
}

/// Copies a file, leaving holes where it is zero: a segment is 64 MB of little else.
fn copy_sparse(from: &mut impl Read, path: &Path) {
    use std::io::{Seek as _, SeekFrom};
    let mut file = std::fs::File::create(path).unwrap();
    let (mut chunk, zeros) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut len = 0;
    loop {
        let n = from.read(&mut chunk).unwrap();
        if n == 0 {
            break;
        }
        if chunk[..n] == zeros[..n] {
            file.seek(SeekFrom::Current(i64::try_from(n).unwrap()))
                .unwrap();
        } else {
            file.write_all(&chunk[..n]).unwrap();
        }
        len += n as u64;
    }
    file.set_len(len).unwrap();
}
