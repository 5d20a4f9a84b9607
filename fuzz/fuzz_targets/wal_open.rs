//! Any bytes as the newest segment of a log: reading, verifying, repairing and opening end with a value
//! or an error, and agree with each other.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_fuzz::{MemoryFs, look_at, start};

fuzz_target!(|data: &[u8]| {
    let disk = MemoryFs::default();
    let dir = Path::new("/wal");
    disk.put(
        dir.join("0000000000000000-0000000000000000.wal"),
        data.to_vec(),
    );
    look_at(&disk, dir);
    start(&disk, dir);
});
