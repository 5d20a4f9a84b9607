//! Log lines in the shapes operators of etcd know: zap's JSON and console encodings.
//!
//! Every crate logs through `tracing`; this layer turns an event into one line on the thread that
//! logs and hands it to a writer thread, so that a slow disk or terminal stalls nobody.
//!
//! # Invariants
//! 1. Lines of one thread keep their order.
//! 2. Logging never waits: a full queue drops the line, and the next line that fits says how many.
//! 3. Dropping [`LogGuard`] returns only after everything accepted was written.
//!
//! # Not here
//! Rotation of files, and the journal's own protocol: not supported yet.

mod format;
mod timestamp;
mod writer;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::SystemTime;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::config::{Config, LogFormat, LogLevel, LogOutput};
pub use writer::LogGuard;
use writer::Queue;

/// Target of events that end the process; they carry level `fatal`.
pub const FATAL: &str = "fatal";

/// Starts logging for the process as the configuration says.
///
/// # Errors
/// A log file cannot be opened, or logging was started before.
pub fn init(config: &Config) -> io::Result<LogGuard> {
    let outputs = config
        .log_outputs
        .iter()
        .map(open)
        .collect::<io::Result<Vec<_>>>()?;
    let (queue, guard) = writer::spawn(outputs)?;
    let layer = LogLayer {
        queue,
        level: config.log_level,
        format: config.log_format,
    };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
        .map_err(io::Error::other)?;
    Ok(guard)
}

fn open(output: &LogOutput) -> io::Result<Box<dyn Write + Send>> {
    Ok(match output {
        LogOutput::Stderr => Box::new(io::stderr()),
        LogOutput::Stdout => Box::new(io::stdout()),
        LogOutput::File(path) => {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|e| {
                    io::Error::new(
                        e.kind(),
                        format!("cannot open log file {}: {e}", path.display()),
                    )
                })?;
            Box::new(file)
        }
    })
}

/// The line that `main` prints where logging does not run yet: same shape, level fatal.
pub fn fatal_line(message: &str, error: &str) -> String {
    let mut line = format::Line::new("fatal", SystemTime::now());
    line.message(message);
    line.text("error", error);
    String::from_utf8_lossy(&line.finish(LogFormat::Json, file!(), line!())).into_owned()
}

struct LogLayer {
    queue: Queue,
    level: LogLevel,
    format: LogFormat,
}

impl LogLayer {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.target() == FATAL {
            return true;
        }
        let least = match self.level {
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error => Level::ERROR,
            LogLevel::Fatal => return false,
        };
        // Of other people's crates only what went wrong: their debugging is not about the store.
        let ours = metadata.target().starts_with("varve");
        *metadata.level() <= if ours { least } else { least.min(Level::WARN) }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && self.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            _ if metadata.target() == FATAL => "fatal",
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut line = format::Line::new(level, SystemTime::now());
        event.record(&mut line);
        let file = metadata.file().unwrap_or("unknown");
        self.queue
            .push(line.finish(self.format, file, metadata.line().unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests;
