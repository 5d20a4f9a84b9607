//! Which operation fails, and how; and the count of those that did not.
use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;

/// What an operation planned with [`SimFs::fail_at`](crate::SimFs::fail_at) meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `EIO`. A write or a change of names does nothing; a failed sync loses the unsynced writes of
    /// its file for good, though reads still show them, as on Linux.
    Eio,
    /// `ENOSPC`, with no effect.
    Enospc,
    /// A write carries half its bytes (at least one) and says so; any other operation works.
    ShortWrite,
    /// A write ends at the first page of the file in its second half and says so, as Linux, which copies
    /// page by page, cuts writes short. One without such a page, and any other operation, works.
    ShortWriteOfPages,
    /// Power is cut while the operation is on its way: it may be in an image, or in part, or not, and
    /// every operation from here on fails.
    Crash,
}

/// Operations carried out on a [`SimFs`](crate::SimFs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpCounts {
    /// Calls of `write_at`.
    pub writes: u64,
    /// Bytes those calls carried.
    pub written_bytes: u64,
    /// Calls of `sync_data` and `sync_all`.
    pub file_syncs: u64,
    /// Calls of `sync_dir`.
    pub dir_syncs: u64,
    /// Everything else that changes the disk.
    pub others: u64,
}

/// The kind of an operation, as far as counting and faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Write,
    FileSync,
    DirSync,
    Other,
}

/// What the disk does about the operation it just announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// Only half of a write.
    Half,
    /// Only the pages in the first half of a write.
    Pages,
    /// Take effect in the journal, as in flight, then report the loss of power.
    Crash,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    next_op: u64,
    planned: BTreeMap<u64, Fault>,
    crashed: bool,
    counts: OpCounts,
}

impl Faults {
    pub(super) fn next_op(&self) -> u64 {
        self.next_op
    }

    pub(super) fn counts(&self) -> OpCounts {
        self.counts
    }

    pub(super) fn plan(&mut self, op: u64, fault: Fault) {
        self.planned.insert(op, fault);
    }

    pub(super) fn heal(&mut self) {
        self.planned.clear();
        self.crashed = false;
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.crashed
    }

    /// Fails when the power is gone; for operations that change nothing.
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.crashed {
            Err(power_lost())
        } else {
            Ok(())
        }
    }

    /// Counts one mutating operation and says whether it fails.
    pub(super) fn announce(&mut self, op: Op) -> io::Result<Verdict> {
        self.check_power()?;
        let fault = self.planned.remove(&self.next_op);
        self.next_op += 1;
        match op {
            Op::Write => self.counts.writes += 1,
            Op::FileSync => self.counts.file_syncs += 1,
            Op::DirSync => self.counts.dir_syncs += 1,
            Op::Other => self.counts.others += 1,
        }
        match fault {
            None => Ok(Verdict::Go),
            Some(Fault::ShortWrite) if op == Op::Write => Ok(Verdict::Half),
            Some(Fault::ShortWriteOfPages) if op == Op::Write => Ok(Verdict::Pages),
            Some(Fault::ShortWrite | Fault::ShortWriteOfPages) => Ok(Verdict::Go),
            Some(Fault::Eio) => Err(Errno::IO.into()),
            Some(Fault::Enospc) => Err(no_space()),
            Some(Fault::Crash) => {
                self.crashed = true;
                Ok(Verdict::Crash)
            }
        }
    }

    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.counts.written_bytes += bytes as u64;
    }
}

impl Verdict {
    /// The result of an operation whose effect is in the journal.
    pub(super) fn finish(self) -> io::Result<()> {
        if self == Self::Crash {
            Err(power_lost())
        } else {
            Ok(())
        }
    }
}

pub(super) fn power_lost() -> io::Error {
    io::Error::other("simulated loss of power")
}

pub(super) fn no_space() -> io::Error {
    Errno::NOSPC.into()
}
