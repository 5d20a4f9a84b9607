//! Any bytes as a `.snap` file: loaded, or set aside, never trusted against its checksum.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_proto::walpb::Snapshot;
use varve_snap::Snapshotter;
use varve_vfs::{DynFs, OpenOptions, SimFs};

fuzz_target!(|data: &[u8]| {
    let fs: DynFs = SimFs::new().shared();
    let dir = Path::new("/snap");
    fs.create_dir_all(dir, 0o700).expect("a fresh disk");
    let path = dir.join("0000000000000002-0000000000000003.snap");
    let file = fs.open(&path, OpenOptions::create_new()).expect("a fresh disk");
    file.write_all_at(data, 0).expect("a fresh disk");
    drop(file);
    let known = [Snapshot { index: 3, term: 2, conf_state: None }];
    drop(Snapshotter::new(fs, dir).load_newest_valid(&known));
});
