//! Any bytes through what the dump tools show of logs, snapshots and databases: lines and JSON, never a panic.
//! The first byte says as what they are shown.
#![no_main]
use libfuzzer_sys::fuzz_target;
// Its allocator.
use varve_fuzz as _;

fuzz_target!(|data: &[u8]| {
    if let Some((kind, body)) = data.split_first() {
        varve_tools::fuzzing::show(*kind, body);
    }
});
