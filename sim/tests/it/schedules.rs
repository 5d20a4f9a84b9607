//! What holds of every schedule.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use varve_sim::Bugs;
use varve_sim::raft::{Plan, Stats, StoreKind, run_seed};
use varve_sim::run;

/// Schedules of one run of the tests.
const SCHEDULES: u64 = 10_000;

#[test]
fn no_schedule_violates_anything() {
    let next = AtomicU64::new(0);
    let work = || {
        let mut stats = Stats::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SCHEDULES {
                return stats;
            }
            match run_seed(seed, None, Bugs::default()) {
                Ok(outcome) => stats.add(&outcome.stats),
                // `varve-sim raft --seeds N` shrinks and explains it.
                Err(violation) => panic!("seed {seed}: {violation}"),
            }
        }
    };
    let mut stats = Stats::default();
    thread::scope(|scope| {
        for part in [scope.spawn(work), scope.spawn(work)] {
            stats.add(&part.join().expect("a schedule violates something"));
        }
    });
    println!("{stats}");
    // And the schedules are about something: each part of the protocol has its share.
    assert_eq!(stats.schedules, SCHEDULES);
    let enough = [
        (stats.elections, 2 * SCHEDULES),
        (stats.committed, 30 * SCHEDULES),
        (stats.acknowledged, 20 * SCHEDULES),
        (stats.answered, 5 * SCHEDULES),
        (stats.changes, SCHEDULES / 2),
        (stats.crashes, 5 * SCHEDULES),
        (stats.disk_failures, SCHEDULES),
        (stats.compactions, SCHEDULES),
        (stats.snapshots_restored, SCHEDULES / 5),
    ];
    for (seen, least) in enough {
        assert!(seen >= least, "{seen} < {least}: {stats}");
    }
    // A configuration that cannot elect a leader by itself is left now and then, and no more than that.
    assert!(stats.stranded * 500 < SCHEDULES, "{stats}");
}

#[test]
fn the_real_log_holds_under_the_same_schedules() {
    let mut stats = Stats::default();
    for seed in 1_000_000..1_000_300 {
        match run_seed(seed, Some(StoreKind::Wal), Bugs::default()) {
            Ok(outcome) => stats.add(&outcome.stats),
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    assert!(stats.crashes > 1000 && stats.disk_failures > 200, "{stats}");
}

#[test]
fn a_seed_repeats_its_run_exactly() {
    for seed in 0..200 {
        let plan = Plan::draw(seed, None);
        assert_eq!(plan, Plan::draw(seed, None));
        let (first, second) = (
            run(&plan, Bugs::default(), 0),
            run(&plan, Bugs::default(), 50),
        );
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.stats, second.stats, "seed {seed}");
        assert!(!second.lines.is_empty());
    }
}

#[test]
fn seeds_differ() {
    let hash = |seed| run(&Plan::draw(seed, None), Bugs::default(), 0).hash;
    let mut hashes: Vec<u64> = (0..200).map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 200);
}
