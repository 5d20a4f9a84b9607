//! bbolt: the Go program beside this one, driven over its standard input. It measures itself, so that
//! the pipe between us costs it nothing.
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::store::{Cost, Job, Store, Values};

pub struct Bbolt {
    child: Child,
    /// Closed to end the child.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What opening took.
    pub opened: Duration,
}

pub fn open(program: &Path, dir: &Path, defaults: bool) -> Result<Bbolt> {
    let file = dir.join(if defaults { "bbolt-defaults" } else { "bbolt" });
    let mut command = Command::new(program);
    command
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if defaults {
        command.arg("defaults");
    }
    let mut child = command.spawn().with_context(|| format!("{program:?}"))?;
    let commands = child.stdin.take();
    let answers = child.stdout.take().context("no pipe from bbolt")?;
    let mut bbolt = Bbolt {
        child,
        commands,
        answers: BufReader::new(answers),
        opened: Duration::ZERO,
    };
    bbolt.opened = bbolt.answer()?.wall;
    Ok(bbolt)
}

impl Bbolt {
    fn answer(&mut self) -> Result<Cost> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("bbolt ended: {}", self.child.wait()?);
        }
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("answer of bbolt: {line:?}"))?;
        let [wall, cpu, written, read] = numbers[..] else {
            bail!("answer of bbolt: {line:?}");
        };
        Ok(Cost {
            wall: Duration::from_nanos(wall),
            cpu: Duration::from_nanos(cpu),
            written,
            read,
        })
    }
}

impl Store for Bbolt {
    fn append(&mut self, _: Range<u64>, _: &Values, _: usize) -> Result<()> {
        bail!("bbolt takes whole jobs")
    }

    fn delete(&mut self, _: &mut dyn Iterator<Item = u64>) -> Result<()> {
        bail!("bbolt takes whole jobs")
    }

    fn get(&mut self, _: &mut dyn Iterator<Item = u64>, _: bool) -> Result<u64> {
        bail!("bbolt takes whole jobs")
    }

    fn scan(&mut self, _: &mut dyn Iterator<Item = u64>, _: u64) -> Result<u64> {
        bail!("bbolt takes whole jobs")
    }

    fn run(&mut self, job: &Job, _: &Values) -> Result<Cost> {
        let line = match job {
            Job::Append {
                from,
                commits,
                per_commit,
                value_len,
            } => format!("append {from} {commits} {per_commit} {value_len}"),
            Job::Delete { range, every, hit } => {
                let (from, to) = (range.start, range.end);
                format!("delete {from} {to} {every} {}", u8::from(*hit))
            }
            Job::Get {
                seed,
                count,
                below,
                own_snapshot,
            } => format!("get {seed} {count} {below} {}", u8::from(*own_snapshot)),
            Job::Scan {
                seed,
                count,
                len,
                below,
            } => format!("scan {seed} {count} {len} {below}"),
        };
        let commands = self.commands.as_mut().context("bbolt was closed")?;
        writeln!(commands, "{line}")?;
        self.answer()
    }
}

impl Drop for Bbolt {
    fn drop(&mut self) {
        self.commands = None;
        if let Err(e) = self.child.wait() {
            eprintln!("bbolt: {e}");
        }
    }
}
