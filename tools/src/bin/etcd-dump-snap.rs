//! `etcd-dump-snap`: what stands in raft snapshots (see [`varve_tools::DumpSnapCli`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    match varve_tools::DumpSnapCli::parse_go_style(std::env::args_os()) {
        Ok(cli) => varve_tools::run_tool("etcd-dump-snap", |console| {
            varve_tools::dump_snap(&cli, console)
        }),
        Err(e) => e.exit(),
    }
}
