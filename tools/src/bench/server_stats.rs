//! CPU time, memory and written bytes of a process, from /proc (proc(5)).
//!
//! CPU time per operation is the figure to compare servers by on a small machine: it does not
//! depend on how much of the machine the client takes.
//!
//! # Failure model
//!
//! A process that is gone, or whose files may not be read, is an error that names the file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

/// Counters of a process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    user: Duration,
    system: Duration,
    rss_bytes: u64,
    peak_rss_bytes: u64,
    /// Bytes that were sent towards the disk; `None` when the kernel does not tell us.
    written_bytes: Option<u64>,
}

/// What a process used between two snapshots, and its memory at the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) rss_bytes: u64,
    /// Highest resident memory in the life of the process, not only of this run.
    pub(crate) peak_rss_bytes: u64,
    pub(crate) written_bytes: Option<u64>,
}

/// The processes of `--server-pid`, as they were before a run.
#[derive(Debug)]
pub(crate) struct Servers {
    before: Vec<(u32, Snapshot)>,
}

/// What one of these processes used during the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUsage {
    pub(crate) pid: u32,
    pub(crate) usage: Usage,
}

impl Servers {
    pub(crate) fn begin(pids: &[u32]) -> anyhow::Result<Self> {
        let begin = |&pid| Ok((pid, Snapshot::of_process(pid)?));
        let before = pids.iter().map(begin).collect::<anyhow::Result<_>>()?;
        Ok(Self { before })
    }

    pub(crate) fn end(self) -> anyhow::Result<Vec<ServerUsage>> {
        let end = |(pid, before): &(u32, Snapshot)| {
            let usage = Usage::between(before, &Snapshot::of_process(*pid)?);
            Ok(ServerUsage { pid: *pid, usage })
        };
        self.before.iter().map(end).collect()
    }
}

impl Usage {
    /// All of them together; `None` when there is none. Peaks are added up although they need not have
    /// been at one time, and the sum of what was written is known only when each is.
    pub(crate) fn sum<'a>(usages: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        usages.into_iter().cloned().reduce(|sum, next| Self {
            user: sum.user + next.user,
            system: sum.system + next.system,
            rss_bytes: sum.rss_bytes.saturating_add(next.rss_bytes),
            peak_rss_bytes: sum.peak_rss_bytes.saturating_add(next.peak_rss_bytes),
            written_bytes: sum
                .written_bytes
                .zip(next.written_bytes)
                .map(|(sum, next)| sum.saturating_add(next)),
        })
    }

    pub(crate) fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let written = after.written_bytes.zip(before.written_bytes);
        Self {
            user: after.user.saturating_sub(before.user),
            system: after.system.saturating_sub(before.system),
            rss_bytes: after.rss_bytes,
            peak_rss_bytes: after.peak_rss_bytes,
            written_bytes: written.map(|(after, before)| after.saturating_sub(before)),
        }
    }

    /// User and system time.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

impl Snapshot {
    pub(crate) fn of_process(pid: u32) -> anyhow::Result<Self> {
        Self::read(PathBuf::from(format!("/proc/{pid}")))
    }

    pub(crate) fn of_self() -> anyhow::Result<Self> {
        Self::read(PathBuf::from("/proc/self"))
    }

    fn read(dir: PathBuf) -> anyhow::Result<Self> {
        let file = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let ticks = rustix::param::clock_ticks_per_second();
        let (user, system) = cpu_times(&file("stat")?, ticks)
            .with_context(|| format!("reading {}/stat", dir.display()))?;
        let status = file("status")?;
        let memory = |name| {
            kibibytes(&status, name).with_context(|| format!("reading {}/status", dir.display()))
        };
        Ok(Self {
            user,
            system,
            rss_bytes: memory("VmRSS")?,
            peak_rss_bytes: memory("VmHWM")?,
            // Readable only for one's own processes and by root: absent rather than wrong.
            written_bytes: file("io").ok().and_then(|io| written_bytes(&io)),
        })
    }
}

/// User and system time of a `stat` line. The second field is the program's name in parentheses
/// and may hold anything, so fields are counted from the last parenthesis.
fn cpu_times(stat: &str, ticks_per_second: u64) -> anyhow::Result<(Duration, Duration)> {
    let (_, rest) = stat
        .rsplit_once(')')
        .context("no program name in parentheses")?;
    // utime and stime are fields 14 and 15 of the line; the rest starts at field 3.
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || -> anyhow::Result<Duration> {
        let ticks: u64 = fields.next().context("too few fields")?.parse()?;
        Ok(Duration::from_millis(
            ticks * 1000 / ticks_per_second.max(1),
        ))
    };
    Ok((next()?, next()?))
}

/// A row of `status` such as `VmHWM:      1234 kB`, in bytes.
fn kibibytes(status: &str, name: &str) -> anyhow::Result<u64> {
    for line in status.lines() {
        if let Some((key, value)) = line.split_once(':')
            && key == name
        {
            let number = value.trim().strip_suffix(" kB").context("not in kB")?;
            return Ok(number.trim().parse::<u64>()?.saturating_mul(1024));
        }
    }
    bail!("no row {name}")
}

/// The row `write_bytes` of `io`.
fn written_bytes(io: &str) -> Option<u64> {
    io.lines()
        .find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
