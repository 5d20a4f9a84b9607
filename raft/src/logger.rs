//! Where the core says what it does: a trait, because a consensus core has no business choosing a
//! logging crate, and because the conformance corpora compare these lines.

use std::fmt;

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Replication details.
    Debug,
    /// Role changes, votes, configuration changes.
    Info,
    /// Something an operator may have to look at.
    Warn,
    /// A request or message that could not be honoured.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        })
    }
}

/// Receives the core's log lines, on the thread that drives the core.
///
/// Lines are not formatted unless [`Logger::log`] formats them, so a logger that drops a level costs
/// a call.
pub trait Logger: fmt::Debug + Send + Sync {
    /// Takes one line, without its newline.
    fn log(&self, level: Level, line: fmt::Arguments<'_>);

    /// Logs at [`Level::Debug`].
    fn debug(&self, line: fmt::Arguments<'_>) {
        self.log(Level::Debug, line);
    }

    /// Logs at [`Level::Info`].
    fn info(&self, line: fmt::Arguments<'_>) {
        self.log(Level::Info, line);
    }

    /// Logs at [`Level::Warn`].
    fn warn(&self, line: fmt::Arguments<'_>) {
        self.log(Level::Warn, line);
    }

    /// Logs at [`Level::Error`].
    fn error(&self, line: fmt::Arguments<'_>) {
        self.log(Level::Error, line);
    }
}

/// Drops every line.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLogger;

impl Logger for NoLogger {
    fn log(&self, _level: Level, _line: fmt::Arguments<'_>) {}
}
