//! The load generator: etcd's `benchmark` put, range, txn-put and watch-latency, with its flags.
//!
//! `src/bin/varve-bench.rs` calls [`run`]. One thread (or `--threads`) drives everything, because
//! on a small machine the client competes with the server it measures.
//!
//! # Invariants
//!
//! 1. Every request is counted once: as a latency or as an error (`load/tests.rs`).
//! 2. With `--rate`, a latency starts when the request was due, not when it could be sent: a stall
//!    of the server shows in every request it delayed (`load/tests.rs`).
//!
//! # Not here
//!
//! TLS and users, and the rest of etcd's subcommands (txn-mixed, stm, lease-keepalive, watch,
//! watch-get, mvcc).

mod args;
mod connect;
mod keys;
mod load;
mod put;
mod range;
mod recorder;
mod report;
mod server_stats;
mod text;
mod txn;
mod watch_latency;

pub use args::Cli;
pub(crate) use args::duration;

use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use args::Command;
use load::{Load, Operation};
use report::Report;
use server_stats::{Servers, Snapshot, Usage};

/// Runs the benchmark that `cli` describes and writes its report to `out`.
///
/// Returns how many requests failed. Fails when the arguments contradict each other, when no
/// connection could be made, or when `out` cannot be written.
pub fn run(cli: &Cli, out: &mut impl Write) -> anyhow::Result<u64> {
    let mut builder = if cli.global.threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut many = tokio::runtime::Builder::new_multi_thread();
        many.worker_threads(cli.global.threads);
        many
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let reports = runtime.block_on(dispatch(cli))?;
    let failed = reports.iter().map(|report| report.recorder.failed()).sum();
    report::write_all(&reports, &cli.global, out).context("writing the report")?;
    out.flush().context("writing the report")?;
    Ok(failed)
}

async fn dispatch(cli: &Cli) -> anyhow::Result<Vec<Report>> {
    match &cli.command {
        Command::Put(args) => put::run(&cli.global, args).await,
        Command::Range(args) => range::run(&cli.global, args).await,
        Command::TxnPut(args) => txn::run(&cli.global, args).await,
        Command::WatchLatency(args) => watch_latency::run(&cli.global, args).await,
    }
}

/// Runs `load` over `clients` and measures the server (with `--server-pid`) and this process
/// around it.
async fn measure<O: Operation>(
    name: &'static str,
    global: &args::Global,
    load: Load,
    clients: Vec<O>,
) -> anyhow::Result<Report> {
    let servers = Servers::begin(&global.server_pid)?;
    let own_before = Snapshot::of_self()?;
    let started = Instant::now();
    let recorder = load.run(clients).await?;
    let elapsed = started.elapsed();
    let own = Usage::between(&own_before, &Snapshot::of_self()?);
    let servers = servers.end()?;
    Ok(Report {
        name,
        elapsed,
        recorder,
        client: own,
        servers,
        hash_kv: None,
    })
}
