//! What the store costs, one table row per goal: `cargo bench -p varve-mvcc [-- SECTION...]`.
//!
//! Sections: `memory` `index` `inserts` `reads` `compaction` `reopen` `watch`
//! `stalled` (all of them by default, about two
//! minutes), and `ten-million` (only when named: 10 M keys, 2 GB of disk, another two minutes). Files
//! go to the directory `VARVE_BENCH_DIR` names, or to the temporary one.
//!
//! # Method
//!
//! Costs of one thread are processor time of that thread: the committer works on its own and is not
//! counted, nor is what other programs on the machine take. Where two states are compared they
//! alternate, and the minimum of each counts. Rates that depend on several threads are wall time.

#![expect(clippy::print_stdout, reason = "a bench reports what it measured")]

mod bed;
mod compaction;
mod fan_out;
mod inserts;
mod memory;
mod nowhere;
mod reads;
mod reopen;
mod table;

use std::path::Path;

use table::Table;

/// As in the server, and as the store is best embedded.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A name, and what to measure.
type Section = (&'static str, fn(&mut Table));

const SECTIONS: [Section; 8] = [
    ("memory", memory::run),
    ("index", inserts::index_alone),
    ("inserts", inserts::run),
    ("reads", reads::run),
    ("compaction", compaction::run),
    ("reopen", reopen::run),
    ("watch", fan_out::run),
    ("stalled", fan_out::stalled),
];

fn main() {
    // cargo passes "--bench".
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    if let [first, path, ..] = &asked[..]
        && first == memory::OPEN
    {
        println!("{}", memory::open_and_tell(Path::new(path)));
        return;
    }
    let mut table = Table::new();
    for (name, run) in SECTIONS {
        if asked.is_empty() || asked.iter().any(|a| a == name) {
            run(&mut table);
        }
    }
    if asked.iter().any(|a| a == "ten-million") {
        reopen::ten_million(&mut table);
    }
}
