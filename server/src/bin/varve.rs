//! The `varve` server binary: reads its configuration, starts logging, runs a member.
//!
//! Exit status: 0 after a clean stop, 1 when the member cannot start or had to stop by itself, 2 when
//! the command line cannot be read.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use varve_server::{Config, ConfigError, Environment, FATAL, Parsed, Run, Warning};

/// Requests allocate and free many small buffers on several threads; the system allocator pays a lock
/// and fragmentation for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let parsed = arguments(std::env::args_os().skip(1))
        .and_then(|args| Config::parse(&args, &Environment::of_process()));
    match parsed {
        Ok(Parsed::Run(run)) => start(*run),
        Ok(Parsed::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(other) => {
            say(&format!("cannot carry out {other:?}"));
            ExitCode::FAILURE
        }
        Err(e) => {
            say(&refusal(&e));
            ExitCode::from(e.exit_code())
        }
    }
}

/// Command-line arguments as text.
fn arguments(args: impl Iterator<Item = OsString>) -> Result<Vec<String>, ConfigError> {
    args.map(|arg| {
        arg.into_string()
            .map_err(|arg| ConfigError::Usage(format!("argument {} is not UTF-8", arg.display())))
    })
    .collect()
}

/// What is printed for a refused configuration: plain text where the command line cannot be read, one
/// log line otherwise, as etcd does.
fn refusal(e: &ConfigError) -> String {
    let text = e.to_string();
    if e.exit_code() != 2 {
        return varve_server::fatal_line("failed to verify flags", &text)
            .trim_end()
            .to_owned();
    }
    if text.contains("--help") {
        text
    } else {
        format!("{text}\n\nFor more information, try '--help'.")
    }
}

fn say(text: &str) {
    // Without a standard error there is nobody to tell; the exit status remains.
    drop(writeln!(io::stderr(), "{text}"));
}

fn start(run: Run) -> ExitCode {
    let Run { config, warnings } = run;
    let guard = match varve_server::init_logging(&config) {
        Ok(guard) => guard,
        Err(e) => {
            say(varve_server::fatal_line("failed to set up logging", &e.to_string()).trim_end());
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        etcd_version = config.compat.server_version(),
        name = config.name,
        data_dir = %config.data_dir.display(),
        initial_cluster = %config.initial_cluster,
        "starting a varve server"
    );
    for warning in &warnings {
        warn(warning);
    }
    let outcome = varve_server::run(config);
    let code = match &outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!(target: FATAL, error = %e, "the server cannot go on");
            ExitCode::FAILURE
        }
    };
    drop(guard);
    code
}

fn warn(warning: &Warning) {
    match warning {
        Warning::Ignored(flag) => tracing::warn!(flag, "the flag has no effect, as in etcd"),
        Warning::UnknownVariable(variable) => {
            tracing::warn!(
                environment_variable = variable,
                "unrecognized environment variable"
            );
        }
        Warning::OldName { given, current } => {
            tracing::warn!(
                flag = given,
                use_instead = current,
                "the flag has a newer name"
            );
        }
        Warning::Unwise(what) => tracing::warn!("{what}"),
        other => tracing::warn!("{other:?}"),
    }
}
