//! Memory of the index per key.

use crate::bed::{filled, manual, on_disk, own_memory, pod, put, ratio, scattered, settle};
use crate::table::Table;
use bytes::Bytes;

const KEYS: u64 = 1_000_000;

pub(crate) fn run(table: &mut Table) {
    let (store, _dir, path) = filled(KEYS, 16);
    let bytes =
        |store: &varve_mvcc::Store| u64::try_from(store.index_memory_bytes()).expect("fits");
    let in_order = ratio(bytes(&store), KEYS);
    store.close().expect("the disk works");
    drop(store);
    let before = own_memory();
    let store = on_disk(&path, manual());
    let resident = ratio(own_memory().saturating_sub(before), KEYS);
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
    table.row(
        "memory per key with two versions",
        &format!("{:.0} B", ratio(bytes(&store), KEYS)),
        "etcd: key + 150 B",
    );
    store.close().expect("the disk works");
    let store = crate::bed::in_memory(manual());
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
