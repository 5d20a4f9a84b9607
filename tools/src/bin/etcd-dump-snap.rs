//! `etcd-dump-snap`: what stands in raft snapshots (see [`varve_tools::DumpSnapCli`]).

use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match varve_tools::DumpSnapCli::parse_go_style(std::env::args_os()) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    let (out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    let colours = out.is_terminal() && err.is_terminal();
    let mut out = BufWriter::new(out);
    let outcome = varve_tools::dump_snap(&cli, &mut out, &mut err, colours);
    let flushed = out.flush().map_err(anyhow::Error::from);
    match outcome.and_then(|sound| flushed.map(|()| sound)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to report to when standard error is closed too.
            let _unreported = writeln!(err, "etcd-dump-snap: {error:#}");
            ExitCode::FAILURE
        }
    }
}
