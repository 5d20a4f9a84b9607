//! `varve-bench`: load and latency of an etcd-compatible server (see [`varve_tools::BenchCli`]).

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

// The client shares the machine with what it measures: every microsecond it saves is one it does
// not distort.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = varve_tools::BenchCli::parse();
    let mut out = std::io::stdout().lock();
    match varve_tools::bench(&cli, &mut out) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to report to when standard error is closed too.
            let _unreported = writeln!(std::io::stderr(), "varve-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
