//! `etcd-dump-wal`: what stands in a write-ahead log (see [`varve_tools::DumpWalCli`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    match varve_tools::DumpWalCli::parse_go_style(std::env::args_os()) {
        Ok(cli) => varve_tools::run_tool("etcd-dump-wal", |console| {
            varve_tools::dump_wal(&cli, console)
        }),
        Err(e) => e.exit(),
    }
}
