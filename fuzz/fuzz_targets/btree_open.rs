//! Any bytes as a database file: opening, walking and checking end, without a panic.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_backend::{Direction, Engine, KeyRange};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{DynFs, OpenOptions, SimFs};

fuzz_target!(|data: &[u8]| {
    let fs: DynFs = SimFs::new().shared();
    let path = Path::new("/db");
    let file = fs.open(path, OpenOptions::create_new()).expect("a fresh disk");
    file.write_all_at(data, 0).expect("a fresh disk");
    drop(file);
    let Ok(engine) = BtreeEngine::open(fs, path, BtreeOptions::default()) else { return };
    drop(engine.check());
    let Ok(snapshot) = engine.snapshot() else { return };
    for name in snapshot.buckets().unwrap_or_default() {
        let Ok(mut scan) = snapshot.scan_bucket_name(&name, &KeyRange::all(), Direction::Forward)
        else {
            continue;
        };
        while let Ok(Some(_)) = scan.next() {}
    }
});
