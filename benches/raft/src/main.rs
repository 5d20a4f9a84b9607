//! Proposals through a group of three in memory, by this core and by raft-rs, in one loop.
//!
//! A leader takes batches of entries of 256 bytes; all messages are carried and all work is done until
//! every node has applied them; then the next batch. Storage is what each library brings for memory,
//! cut now and then. Payloads are made before the clock starts: shared buffers here, vectors there,
//! as each takes them.
//!
//!   varve-bench-raft [--proposals N] [--rounds N] [--only async|sync|raft-rs --batch N]
//!
//! A line of markdown per library, way of writing and batch: proposals per second of processor time (of
//! the fastest round), messages per proposal, nanoseconds in `step` per message, memory allocations per
//! proposal; all over the three nodes. With `--only`, one of them, and the number of messages: for
//! counting instructions.

mod group;
mod measure;
mod ours;
mod raft_rs;

use measure::Sample;

const USAGE: &str =
    "varve-bench-raft [--proposals N] [--rounds N] [--only async|sync|raft-rs --batch N]";

const LIBRARIES: [(&str, &str, &str); 3] = [
    ("async", "varve-raft", "async"),
    ("sync", "varve-raft", "sync"),
    ("raft-rs", "raft-rs 0.7.0", "sync"),
];

fn run(library: &str, proposals: usize, batch: usize) -> Sample {
    match library {
        "async" => group::run(ours::Cluster::new(true), proposals, batch),
        "sync" => group::run(ours::Cluster::new(false), proposals, batch),
        "raft-rs" => group::run(raft_rs::Cluster::new(), proposals, batch),
        other => panic!("no library {other}; {USAGE}"),
    }
}

fn main() {
    let (mut proposals, mut rounds, mut only, mut one_batch) = (64_000, 5, None, 1);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().unwrap_or_else(|| panic!("{USAGE}"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{USAGE}"));
        match arg.as_str() {
            "--proposals" => proposals = number(),
            "--rounds" => rounds = number(),
            "--batch" => one_batch = number(),
            "--only" => only = Some(value),
            _ => panic!("{USAGE}"),
        }
    }
    if let Some(library) = only {
        println!("{}", run(&library, proposals, one_batch).messages());
        return;
    }
    println!(
        "| library | writes | batch | proposals/s | messages/proposal | step ns/message | \
         allocations/proposal |"
    );
    println!("|---|---|---|---|---|---|---|");
    for batch in [1, 16, 64] {
        // Rounds of all take turns, so that a disturbance meets each.
        let mut best: [Option<Sample>; LIBRARIES.len()] = [None; LIBRARIES.len()];
        for _ in 0..rounds {
            for (best, (library, ..)) in best.iter_mut().zip(LIBRARIES) {
                let sample = run(library, proposals, batch);
                *best = Some(best.map_or(sample, |best| best.better_of(sample)));
            }
        }
        for ((_, library, writes), best) in LIBRARIES.into_iter().zip(best) {
            if let Some(sample) = best {
                println!("| {library} | {writes} | {batch} | {sample} |");
            }
        }
    }
}
