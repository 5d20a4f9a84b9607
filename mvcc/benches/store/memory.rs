//! Memory of the index per key.

use std::path::Path;
use std::process::Command;

use crate::bed::{
    filled, manual, on_disk, on_nothing, own_memory, pod, put, ratio, scattered, settle,
};
use crate::table::Table;
use bytes::Bytes;

const KEYS: u64 = 1_000_000;

/// Anonymous memory per key that opening a file takes, measured in a process of its own: this one has
/// memory to spare that it once needed.
fn resident_of(path: &Path) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).arg(OPEN).arg(path).output();
    let shown = String::from_utf8(output.expect("it runs").stdout).expect("a number");
    ratio(shown.trim().parse().expect("a number"), KEYS)
}

/// The argument that makes this program [`resident_of`]'s helper.
pub(crate) const OPEN: &str = "open-and-tell-memory";

/// Opens a file; the memory that took.
pub(crate) fn open_and_tell(path: &Path) -> u64 {
    let before = own_memory();
    let _store = on_disk(path, manual());
    own_memory().saturating_sub(before)
}

pub(crate) fn run(table: &mut Table) {
    let (store, _dir, path) = filled(KEYS, 16);
    let bytes =
        |store: &varve_mvcc::Store| u64::try_from(store.index_memory_bytes()).expect("fits");
    let in_order = ratio(bytes(&store), KEYS);
    store.close().expect("the disk works");
    drop(store);
    let resident = resident_of(&path);
    let store = on_disk(&path, manual());
    let restored = ratio(bytes(&store), KEYS);
    table.row(
        &format!(
            "memory per key, {KEYS} names of {} B, one version",
            pod(0).len()
        ),
        &format!(
            "{in_order:.0} B filled in order, {restored:.0} B reopened ({resident:.0} B resident)"
        ),
        "key suffix + 60 B (etcd: key + 120 B + 30 B per version)",
    );
    for n in 0..KEYS {
        put(&store, pod(n), Bytes::from_static(b"second"));
    }
    settle(&store);
    let two = ratio(bytes(&store), KEYS);
    store.close().expect("the disk works");
    drop(store);
    let resident = resident_of(&path);
    let store = on_disk(&path, manual());
    table.row(
        &format!(
            "memory per key, {KEYS} names of {} B, two versions",
            pod(0).len()
        ),
        &format!(
            "{two:.0} B written, {:.0} B reopened ({resident:.0} B resident)",
            ratio(bytes(&store), KEYS)
        ),
        "etcd: key + 150 B",
    );
    store.close().expect("the disk works");
    let store = on_nothing(manual());
    for n in 0..KEYS {
        let key = Bytes::from(format!("{:016x}", scattered(n) << 20 | n & 0xfffff));
        put(&store, key, Bytes::new());
    }
    table.row(
        &format!("memory per key, {KEYS} random names of 16 B, random order"),
        &format!("{:.0} B", ratio(bytes(&store), KEYS)),
        "76 B at most",
    );
}
