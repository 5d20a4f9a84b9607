//! A program that decodes entries: it gets one line of hex for each and answers with one line.
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// What the program said of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) text: String,
}

/// A running decoder.
#[derive(Debug)]
pub(super) struct StreamDecoder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl StreamDecoder {
    /// Starts a command; arguments are separated by blanks.
    pub(super) fn start(command: &str) -> Result<Self> {
        let mut words = command.split_whitespace();
        let program = words.next().context("--stream-decoder names no program")?;
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("the stream decoder {program} does not start"))?;
        let input = child
            .stdin
            .take()
            .context("the stream decoder has no input")?;
        let output = child
            .stdout
            .take()
            .context("the stream decoder has no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(super) fn decode(&mut self, data: &[u8]) -> Result<Answer> {
        let mut line = super::json::hex(data);
        line.push('\n');
        self.input
            .write_all(line.as_bytes())
            .context("the stream decoder takes no more input")?;
        self.input.flush()?;
        let mut answer = String::new();
        if self
            .output
            .read_line(&mut answer)
            .context("the stream decoder's answer")?
            == 0
        {
            bail!("the stream decoder ended before the entries did");
        }
        Ok(split(answer.trim_end_matches('\n')))
    }

    /// Ends the program and waits for it.
    pub(super) fn finish(self) -> Result<()> {
        let Self {
            mut child,
            input,
            output,
        } = self;
        drop((input, output));
        let status = child
            .wait()
            .context("the stream decoder cannot be waited for")?;
        if !status.success() {
            bail!("the stream decoder failed: {status}");
        }
        Ok(())
    }
}

/// Status and text, divided by the one bar the line should have; other lines are shown with etcd's words
/// for them.
fn split(line: &str) -> Answer {
    let mut parts = line.split('|');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<_> = parts.collect();
    let (status, text) = match rest[..] {
        [] => (
            "decoder output format is not right, print output anyway".to_owned(),
            line.to_owned(),
        ),
        [text] => (first.to_owned(), text.to_owned()),
        _ => (
            format!("{first}(*WARNING: data might contain deliminator used by etcd-dump-logs)"),
            rest.concat(),
        ),
    };
    Answer { status, text }
}
