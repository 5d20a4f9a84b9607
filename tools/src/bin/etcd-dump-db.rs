//! `etcd-dump-db`: what stands in a member's database (see [`varve_tools::DumpDbCli`]).

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = varve_tools::DumpDbCli::parse();
    varve_tools::run_tool("etcd-dump-db", |console| {
        varve_tools::dump_db(&cli, console)
    })
}
