//! Runs schedules from the command line.
#![expect(
    clippy::print_stdout,
    reason = "a command reports on its standard output"
)]

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use varve_sim::Bugs;
use varve_sim::raft::{Stats, StoreKind, explain, run_seed};

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
struct RaftArgs {
    /// Seeds, `A..B` without B, or one.
    #[arg(long, value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// What holds the logs.
    #[arg(long, value_enum, default_value = "drawn")]
    log: Log,
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
    /// A mistake to switch on.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_enum)]
    bug: Option<varve_sim::Bug>,
}

impl RaftArgs {
    #[cfg(feature = "seeded-bugs")]
    fn bugs(&self) -> Bugs {
        self.bug.map(Bugs::one).unwrap_or_default()
    }

    #[cfg(not(feature = "seeded-bugs"))]
    #[expect(clippy::unused_self, reason = "the same question as with the feature")]
    fn bugs(&self) -> Bugs {
        Bugs::default()
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

/// Seeds a thread takes at a time, and between two lines of progress.
const CHUNK: u64 = 64;
const REPORT_EVERY: u64 = 50_000;

fn main() -> ExitCode {
    let Level::Raft(args) = Cli::parse().level;
    let store = match args.log {
        Log::Drawn => None,
        Log::Lean => Some(StoreKind::Lean),
        Log::Wal => Some(StoreKind::Wal),
    };
    let bugs = args.bugs();
    let began = Instant::now();
    let next = AtomicU64::new(args.seeds.start);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut stats = Stats::default();
        let mut failed = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= args.seeds.end {
                break;
            }
            for seed in from..args.seeds.end.min(from + CHUNK) {
                let done = seed - args.seeds.start;
                if done > 0 && done.is_multiple_of(REPORT_EVERY) {
                    println!("{done} schedules, {:.0} s", began.elapsed().as_secs_f64());
                }
                match run_seed(seed, store, bugs) {
                    Ok(outcome) => stats.add(&outcome.stats),
                    Err(violation) => {
                        println!("seed {seed}: {violation}");
                        failed.push(seed);
                        stop.fetch_or(!args.keep_going, Ordering::Relaxed);
                    }
                }
            }
        }
        (stats, failed)
    };
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        threads.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let mut total = Stats::default();
    let mut failed = Vec::new();
    for part in parts {
        match part {
            Ok((stats, seeds)) => {
                total.add(&stats);
                failed.extend(seeds);
            }
            Err(_) => println!("a thread ended in a panic"),
        }
    }
    println!("{total}");
    println!("{:.1} s", began.elapsed().as_secs_f64());
    failed.sort_unstable();
    let Some(first) = failed.first() else {
        println!("no violation in seeds {:?}", args.seeds);
        return ExitCode::SUCCESS;
    };
    println!(
        "{} seeds failed: {:?}",
        failed.len(),
        &failed[..failed.len().min(20)]
    );
    if let Some(failure) = explain(*first, store, bugs, args.tries, args.lines) {
        println!("{failure}");
    }
    ExitCode::FAILURE
}
