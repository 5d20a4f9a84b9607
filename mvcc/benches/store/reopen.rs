//! Opening what was closed. With `VARVE_BENCH_KEEP` naming a directory the files stay there, so that
//! etcd can be measured on the same ones (`benches/etcd_restore`).

use std::path::Path;

use crate::bed::{directory, fill, manual, on_disk, process_nanos, ratio, wall};
use crate::table::Table;

pub(crate) fn run(table: &mut Table) {
    measure(table, 1_000_000, 256, 3);
}

pub(crate) fn ten_million(table: &mut Table) {
    measure(table, 10_000_000, 64, 1);
}

fn measure(table: &mut Table, keys: u64, value_bytes: usize, rounds: usize) {
    let dir = directory();
    let kept = std::env::var_os("VARVE_BENCH_KEEP");
    let place = kept.as_ref().map_or(dir.path(), Path::new);
    let path = place.join(format!("{keys}.db"));
    if !path.exists() {
        let store = on_disk(&path, manual());
        fill(&store, keys, value_bytes);
        store.close().expect("the disk works");
    }
    let (mut best_wall, mut best_cpu) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        let start = process_nanos();
        let mut store = None;
        let seconds = wall(|| store = Some(on_disk(&path, manual())));
        best_cpu = best_cpu.min(ratio(process_nanos() - start, 1_000_000_000));
        best_wall = best_wall.min(seconds);
        let store = store.expect("opened");
        assert_eq!(store.stats().keys as u64, keys);
        store.close().expect("the disk works");
    }
    let millions = ratio(keys, 1_000_000);
    table.row(
        &format!("reopening {keys} keys with values of {value_bytes} B"),
        &format!(
            "{:.2} s per million ({:.2} s of processor time), {best_wall:.2} s in all",
            best_wall / millions,
            best_cpu / millions
        ),
        "1/5 of etcd's on the same file",
    );
}
