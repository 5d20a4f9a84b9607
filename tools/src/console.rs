//! Where the dump tools print, and how they end.
//!
//! Output goes to standard output and nothing else does; notes, damage and progress go to standard error,
//! so that a pipe gets data only. Colours and progress are for people: they need a terminal.
use std::ffi::OsString;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::Result;

mod progress;

pub(crate) use progress::Progress;

/// What a shell reports of a program that a closed pipe ended: `etcd-dump-wal | head` is no failure to
/// speak of, but not the whole answer either.
const BROKEN_PIPE: u8 = 128 + 13;

/// Bytes of output collected before they are written: few system calls, and little waiting.
const OUT_BUFFER_BYTES: usize = 64 << 10;

/// Where a tool prints.
#[expect(missing_debug_implementations, reason = "writers have none")]
pub struct Console<'a> {
    pub(crate) out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    colours: bool,
    progress: bool,
}

impl<'a> Console<'a> {
    /// Plain text to `out`, notes and damage to `err`.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self {
            out,
            err,
            colours: false,
            progress: false,
        }
    }

    /// Says on standard error that something is wrong.
    pub(crate) fn complain(&mut self, what: &dyn std::fmt::Display) -> Result<()> {
        self.tell("31", "error", what)
    }

    /// Says on standard error something worth knowing.
    pub(crate) fn note(&mut self, what: &dyn std::fmt::Display) -> Result<()> {
        self.tell("33", "note", what)
    }

    /// What was printed so far comes first, also when both streams end in one file.
    fn tell(&mut self, colour: &str, word: &str, what: &dyn std::fmt::Display) -> Result<()> {
        self.out.flush()?;
        if self.colours {
            writeln!(self.err, "\x1b[{colour}m{word}:\x1b[0m {what}")?;
        } else {
            writeln!(self.err, "{word}: {what}")?;
        }
        Ok(())
    }

    /// A heading.
    pub(crate) fn heading(&mut self, what: &str) -> Result<()> {
        if self.colours {
            writeln!(self.out, "\x1b[1m{what}\x1b[0m")?;
        } else {
            writeln!(self.out, "{what}")?;
        }
        Ok(())
    }

    /// Whether somebody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.progress
    }

    /// A bar for reading `total_bytes`, shown when it takes a while and somebody watches.
    pub(crate) fn progress(&self, total_bytes: u64) -> Progress {
        Progress::new(self.progress, total_bytes)
    }
}

/// Runs a tool on the process's own streams: exit code 0 when all is sound, 1 when something is damaged or
/// could not be done, 141 when nobody reads the output any more.
pub fn run_tool(name: &str, tool: impl FnOnce(&mut Console<'_>) -> Result<bool>) -> ExitCode {
    let (out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
    let mut out = BufWriter::with_capacity(OUT_BUFFER_BYTES, out);
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colours: out_terminal && err_terminal && terminal_shows_colours(),
        progress: err_terminal,
    };
    let outcome = tool(&mut console);
    let flushed = out.flush().map_err(anyhow::Error::from);
    match outcome.and_then(|sound| flushed.map(|()| sound)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if is_broken_pipe(&error) => ExitCode::from(BROKEN_PIPE),
        Err(error) => {
            // Nothing is left to report to when standard error is closed too.
            let _unreported = writeln!(err, "{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// By the habits of <https://no-color.org> and of terminals that cannot.
fn terminal_shows_colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// `-start-index=3` as `--start-index=3`; single letters, `-` and numbers stay as they are.
pub(crate) fn double_dash(arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else {
        return arg;
    };
    match text.strip_prefix('-') {
        Some(name) if name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            format!("--{name}").into()
        }
        _ => arg,
    }
}
