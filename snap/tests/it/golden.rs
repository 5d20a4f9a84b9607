//! Snapshots that etcd 3.4 to 3.7 wrote.
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use varve_snap::{SnapName, Snapshotter, decode, encode};
use varve_vfs::{Fs, OpenOptions, SimFs};

/// Name and bytes of every `.snap` file in the archives that `VARVE_GOLDEN` names.
fn snaps() -> Vec<(String, PathBuf, Vec<u8>)> {
    let Some(dir) = std::env::var_os("VARVE_GOLDEN") else {
        eprintln!("skipped: VARVE_GOLDEN does not name the directory of golden archives");
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let archive = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !archive.ends_with(".tar.zst") {
            continue;
        }
        let mut decoder = zstd::Decoder::new(std::fs::File::open(&path).unwrap()).unwrap();
        decoder.window_log_max(27).unwrap();
        for entry in tar::Archive::new(decoder).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_path_buf();
            if path.extension().is_some_and(|e| e == "snap") {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                found.push((archive.clone(), path, bytes));
            }
        }
    }
    assert!(found.len() >= 57, "only {} snapshots", found.len());
    found
}

#[test]
fn every_snapshot_decodes_and_encodes_to_the_same_bytes() {
    for (archive, path, bytes) in snaps() {
        let snapshot = decode(Bytes::from(bytes.clone()), &path).unwrap();
        // etcdutl 3.8 leaves auto_leave=false out of the conf state it restores.
        if !archive.starts_with("snapsave-3.8") {
            assert_eq!(encode(&snapshot), bytes, "{archive} {}", path.display());
        }
        let name = SnapName {
            term: snapshot.metadata.term,
            index: snapshot.metadata.index,
        };
        assert_eq!(
            path.file_name().unwrap().to_str().unwrap(),
            name.to_string()
        );
        assert!(
            snapshot
                .data
                .is_some_and(|data| data.starts_with(b"{\"Root\""))
        );
    }
}

#[test]
fn saving_a_snapshot_of_etcd_writes_its_bytes_under_its_name() {
    let sim = SimFs::new();
    sim.create_dir_all(Path::new("/snap"), 0o700).unwrap();
    let snapshotter = Snapshotter::new(sim.shared(), "/snap");
    for (archive, path, bytes) in snaps() {
        let theirs = Path::new("/snap").join(path.file_name().unwrap());
        let file = sim.open(&theirs, OpenOptions::create_truncate()).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let ours = snapshotter
            .save(&snapshotter.read(&theirs).unwrap())
            .unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(sim.read(&ours).unwrap(), bytes, "{archive}");
    }
}
