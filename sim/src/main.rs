//! Runs schedules from the command line.
#![expect(
    clippy::print_stdout,
    reason = "a command reports on its standard output"
)]

use std::fmt::Display;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use varve_sim::cluster::{self, Seeded};
use varve_sim::raft::{self, StoreKind};
use varve_sim::{Bugs, Violation};

/// Deterministic simulation.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    level: Level,
}

#[derive(Debug, Subcommand)]
enum Level {
    /// Consensus cores with a driver and a log, five members each.
    Raft(RaftArgs),
    /// Whole members and their clients.
    Cluster(ClusterArgs),
}

/// What holds the logs.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    /// Drawn: mostly the journal, one in eight the real log.
    Drawn,
    /// A journal.
    Lean,
    /// The server's write-ahead log and snapshot files.
    Wal,
}

#[derive(Debug, clap::Args)]
struct Sweep {
    /// Seeds, `A..B` without B, or one.
    #[arg(long, value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Threads to spread the seeds over.
    #[arg(long, default_value_t = 1)]
    threads: u64,
    /// Go on after a failing seed; the first ones are listed.
    #[arg(long)]
    keep_going: bool,
    /// Lines of trace to print for a failing seed.
    #[arg(long, default_value_t = 60)]
    lines: usize,
    /// Shorter plans to try for a failing seed.
    #[arg(long, default_value_t = 1000)]
    tries: usize,
    /// Seeds between two lines of progress.
    #[arg(long, default_value_t = 50_000)]
    report_every: u64,
}

#[derive(Debug, clap::Args)]
struct RaftArgs {
    #[command(flatten)]
    sweep: Sweep,
    /// What holds the logs.
    #[arg(long, value_enum, default_value = "drawn")]
    log: Log,
    /// A mistake to switch on.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_enum)]
    bug: Option<varve_sim::Bug>,
}

#[derive(Debug, clap::Args)]
struct ClusterArgs {
    #[command(flatten)]
    sweep: Sweep,
    /// A mistake to switch on, by its number from 1.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long)]
    bug: Option<usize>,
}

#[cfg(feature = "seeded-bugs")]
impl RaftArgs {
    fn bugs(&self) -> Bugs {
        self.bug.map(Bugs::one).unwrap_or_default()
    }
}

#[cfg(feature = "seeded-bugs")]
impl ClusterArgs {
    fn seeded(&self) -> Seeded {
        use varve_sim::cluster::SeededBug::{
            AnsweredBeforeCommit, IndexApart, LogReleasedEarly, RevokedByOldLeader,
            SnapshotBeforeCommit,
        };
        let all = [
            IndexApart,
            SnapshotBeforeCommit,
            LogReleasedEarly,
            RevokedByOldLeader,
            AnsweredBeforeCommit,
        ];
        let bug = self.bug.and_then(|number| all.get(number.checked_sub(1)?));
        bug.copied().map(Seeded::one).unwrap_or_default()
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(clippy::unused_self, reason = "the same question as with the feature")]
impl RaftArgs {
    fn bugs(&self) -> Bugs {
        Bugs::default()
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(clippy::unused_self, reason = "the same question as with the feature")]
impl ClusterArgs {
    fn seeded(&self) -> Seeded {
        Seeded::default()
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| {
        text.replace('_', "")
            .parse::<u64>()
            .map_err(|error| format!("{text}: {error}"))
    };
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => {
            let seed = number(text)?;
            Ok(seed..seed + 1)
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().level {
        Level::Raft(args) => {
            let store = match args.log {
                Log::Drawn => None,
                Log::Lean => Some(StoreKind::Lean),
                Log::Wal => Some(StoreKind::Wal),
            };
            let (bugs, sweep) = (args.bugs(), &args.sweep);
            sweep.run(
                |seed| Ok(raft::run_seed(seed, store, bugs)?.stats),
                raft::Stats::add,
                |seed| {
                    let failure = raft::explain(seed, store, bugs, sweep.tries, sweep.lines)?;
                    Some(failure.to_string())
                },
            )
        }
        Level::Cluster(args) => {
            let (seeded, sweep) = (args.seeded(), &args.sweep);
            sweep.run(
                |seed| Ok(cluster::run_seed(seed, seeded)?.stats),
                cluster::Stats::add,
                |seed| {
                    let failure = cluster::explain(seed, seeded, sweep.tries, sweep.lines)?;
                    Some(failure.to_string())
                },
            )
        }
    }
}

impl Sweep {
    /// Runs all seeds, and explains the first that fails.
    fn run<S: Default + Display + Send>(
        &self,
        run: impl Fn(u64) -> Result<S, Violation> + Sync,
        add: impl Fn(&mut S, &S) + Sync,
        explain: impl Fn(u64) -> Option<String>,
    ) -> ExitCode {
        let began = Instant::now();
        let next = AtomicU64::new(self.seeds.start);
        let stop = AtomicBool::new(false);
        let work = || {
            let mut stats = S::default();
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    break;
                }
                let done = seed - self.seeds.start;
                if done > 0 && done.is_multiple_of(self.report_every.max(1)) {
                    println!("{done} schedules, {:.0} s", began.elapsed().as_secs_f64());
                }
                match run(seed) {
                    Ok(outcome) => add(&mut stats, &outcome),
                    Err(violation) => {
                        println!("seed {seed}: {violation}");
                        failed.push(seed);
                        stop.fetch_or(!self.keep_going, Ordering::Relaxed);
                    }
                }
            }
            (stats, failed)
        };
        let parts: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1))
                .map(|_| scope.spawn(work))
                .collect();
            threads.into_iter().map(ScopedJoinHandle::join).collect()
        });
        let mut total = S::default();
        let mut failed = Vec::new();
        for part in parts {
            match part {
                Ok((stats, seeds)) => {
                    add(&mut total, &stats);
                    failed.extend(seeds);
                }
                Err(_) => println!("a thread ended in a panic"),
            }
        }
        println!("{total}");
        println!("{:.1} s", began.elapsed().as_secs_f64());
        failed.sort_unstable();
        let Some(first) = failed.first() else {
            println!("no violation in seeds {:?}", self.seeds);
            return ExitCode::SUCCESS;
        };
        println!(
            "{} seeds failed: {:?}",
            failed.len(),
            &failed[..failed.len().min(20)]
        );
        if let Some(failure) = explain(*first) {
            println!("{failure}");
        }
        ExitCode::FAILURE
    }
}
