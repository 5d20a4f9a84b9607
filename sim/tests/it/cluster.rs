//! What holds of every schedule of whole members.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use varve_sim::cluster::{Action, Op, Plan, Seeded, Stats, TICK, Timed, Who, run_seed};
use varve_sim::run;

/// Schedules of one run of the tests.
const SCHEDULES: u64 = 2000;

#[test]
fn no_schedule_of_whole_members_violates_anything() {
    let next = AtomicU64::new(0);
    let work = || {
        let mut stats = Stats::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SCHEDULES {
                return stats;
            }
            match run_seed(seed, Seeded::default()) {
                Ok(outcome) => stats.add(&outcome.stats),
                // `varve-sim cluster --seeds N` shrinks and explains it.
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
    // And the schedules are about something: each part of a member has its share.
    assert_eq!(stats.schedules, SCHEDULES);
    let enough = [
        (stats.elections, 2 * SCHEDULES),
        (stats.applied, 50 * SCHEDULES),
        (stats.answered, 50 * SCHEDULES),
        (stats.operations, 80 * SCHEDULES),
        (stats.events_seen, 50 * SCHEDULES),
        (stats.grants, SCHEDULES),
        (stats.renewals, SCHEDULES),
        (stats.compactions, SCHEDULES),
        (stats.joins, SCHEDULES / 5),
        (stats.removals, SCHEDULES / 40),
        (stats.kills, SCHEDULES / 4),
        (stats.stops, SCHEDULES / 4),
        (stats.crashes, SCHEDULES),
        (stats.disk_failures, SCHEDULES / 2),
        (stats.snapshots_received, SCHEDULES / 2),
    ];
    for (seen, least) in enough {
        assert!(seen >= least, "{seen} < {least}: {stats}");
    }
    // Most requests have an outcome that is known.
    assert!(stats.unknown * 3 < stats.operations, "{stats}");
}

#[test]
fn a_seed_of_whole_members_repeats_its_run_exactly() {
    for seed in 0..60 {
        let plan = Plan::draw(seed);
        assert_eq!(plan, Plan::draw(seed));
        let (first, second) = (
            run(&plan, Seeded::default(), 0),
            run(&plan, Seeded::default(), 50),
        );
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.stats, second.stats, "seed {seed}");
        assert!(!second.lines.is_empty());
    }
}

fn timed(time: u64, action: Action) -> Timed {
    Timed { time, action }
}

/// A leader that can write nothing goes on to speak; that it hands over is seen by another election.
#[test]
fn a_leader_whose_disk_stands_still_hands_over() {
    for seed in 0..40 {
        let mut plan = Plan::draw(seed);
        plan.end = 100 * TICK;
        plan.settings.weather.loss = 0;
        plan.settings.weather.stray = 0;
        let elections = |plan: &Plan| {
            let outcome = run(plan, Seeded::default(), 0);
            assert!(outcome.violation.is_none(), "{:?}", outcome.violation);
            outcome.stats.elections
        };
        plan.actions.clear();
        let calm = elections(&plan);
        // Three election timeouts are borne.
        let borne = 3 * plan.settings.numbers.election_ticks;
        for (time, more) in [(borne - 2, false), (borne + 20, true)] {
            let (at, time) = (Who::Leader(1), time * TICK);
            let put = Op::Put { key: 0 };
            plan.actions = vec![
                timed(40 * TICK, Action::StallDisk { at, time }),
                timed(41 * TICK, Action::Client { at, op: put }),
            ];
            let stalled = elections(&plan);
            assert_eq!(stalled > calm, more, "seed {seed}, {time} ms");
        }
    }
}

#[test]
fn seeds_of_whole_members_differ() {
    let hash = |seed| run(&Plan::draw(seed), Seeded::default(), 0).hash;
    let mut hashes: Vec<u64> = (0..60).map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 60);
}

/// Schedules that once ended badly: a leader without an entry of its own term renewed a lease whose end
/// stood in its log; lost answers to removals were taken for the wrong ones; saving an own snapshot removed the
/// database of a received one that a hanging disk kept waiting, when a second one had come.
#[test]
fn schedules_that_were_violated_once_are_not_again() {
    let seeds = [
        101_492, 102_779, 104_091, 107_299, 1_139_622, 1_151_838, 1_185_332, 1_187_290,
    ];
    for seed in seeds {
        if let Err(violation) = run_seed(seed, Seeded::default()) {
            panic!("seed {seed}: {violation}");
        }
    }
}
