//! Any bytes as a WAL segment: reading and repairing end with a value or an error.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_proto::walpb::Snapshot;
use varve_vfs::{DynFs, OpenOptions, SimFs};
use varve_wal::{Wal, WalOptions};

fuzz_target!(|data: &[u8]| {
    let fs: DynFs = SimFs::new().shared();
    let dir = Path::new("/wal");
    fs.create_dir_all(dir, 0o700).expect("a fresh disk");
    let path = dir.join("0000000000000000-0000000000000000.wal");
    let file = fs.open(&path, OpenOptions::create_new()).expect("a fresh disk");
    file.write_all_at(data, 0).expect("a fresh disk");
    drop(file);
    let start = Snapshot { index: 0, term: 0, conf_state: None };
    drop(Wal::verify(&fs, dir, &start));
    drop(Wal::valid_snapshot_entries(&fs, dir));
    if let Ok(reader) = Wal::open(&fs, dir, &start, WalOptions::default()) {
        drop(reader.read_all());
    }
    drop(Wal::repair(&fs, dir));
});
