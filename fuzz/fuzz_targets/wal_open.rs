//! Any bytes as the newest segment of a log: reading, verifying, repairing and opening end with a value
//! or an error, and agree with each other.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_fuzz::{open_everything, put};
use varve_vfs::SimFs;

fuzz_target!(|data: &[u8]| {
    let sim = SimFs::new();
    let dir = Path::new("/wal");
    put(&sim, &dir.join("0000000000000000-0000000000000000.wal"), data);
    open_everything(&sim, dir);
});
