//! Whether a log is what raft wrote.
//!
//! Checked: frames and the chain of checksums (by `varve-wal`), that no segment is missing or empty and each
//! has the name it was cut with, that entries leave no gap except over a snapshot, that terms do not fall
//! from an entry to the next, that the hard state's term and commit never fall, and that at the end the
//! commit is covered by entries or a snapshot.
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use prost::Message as _;
use serde_json::json;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_wal::{Record, RecordKind, SegmentName};

use super::args::Cli;
use super::steady::{Steady, Stop};
use super::{Place, file_name};
use crate::console::Console;

/// What has been seen so far.
#[derive(Debug, Default)]
struct Checker {
    records: u64,
    /// Terms of the entries from `first` on.
    terms: Vec<u64>,
    first: u64,
    snapshot: Snapshot,
    state: HardState,
    /// The segment being read.
    segment: Option<Arc<Path>>,
    /// Where its newest record ends.
    end_offset: u64,
    /// Index of the newest entry record, overridden or not; none before the first.
    newest: Option<u64>,
}

/// What one reading found.
#[derive(Debug, Default)]
struct Verdict {
    checker: Checker,
    segments: usize,
    stop: Option<Stop>,
}

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let Verdict {
        checker,
        segments,
        stop,
    } = inspect(place, console)?;
    let flaw = match &stop {
        // A member at work is no damage.
        None | Some(Stop::Growing(_)) => None,
        Some(Stop::Torn(flaw) | Stop::Damage(flaw)) => Some(flaw),
    };
    if cli.json {
        let line = json!({
            "kind": "verdict",
            "ok": flaw.is_none(),
            "flaw": flaw,
            "segments": segments,
            "records": checker.records,
            "first_index": checker.first,
            "last_index": checker.last(),
            "term": checker.state.term,
            "commit": checker.state.commit,
        });
        writeln!(console.out, "{line}")?;
    } else {
        writeln!(
            console.out,
            "{}: {} records in {segments} segments, entries {} to {}, term {}, commit {}",
            if flaw.is_none() { "OK" } else { "DAMAGED" },
            checker.records,
            checker.first,
            checker.last(),
            checker.state.term,
            checker.state.commit,
        )?;
    }
    if let Some(flaw) = flaw {
        console.complain(flaw)?;
    } else if let Some(growing) = &stop {
        growing.report(console)?;
    }
    Ok(flaw.is_none())
}

/// Reads the log to its end or its first flaw.
fn inspect(place: &Place, console: &Console<'_>) -> Result<Verdict> {
    let mut records = Steady::new(place, console, || place.open_all())?;
    let mut verdict = Verdict::default();
    for record in records.by_ref() {
        let outcome = record.and_then(|record| {
            let added = verdict.checker.add(&record);
            added.map_err(|flaw| Stop::at(&record, &flaw))
        });
        if let Err(stop) = outcome {
            verdict.stop = Some(stop);
            break;
        }
    }
    verdict.segments = records.segments().len();
    if verdict.stop.is_none() {
        verdict.stop = verdict.checker.at_end().err().map(Stop::Damage);
    }
    Ok(verdict)
}

impl Checker {
    /// Index of the last entry.
    fn last(&self) -> u64 {
        (self.first + self.terms.len() as u64).saturating_sub(1)
    }

    fn add(&mut self, record: &Record) -> Result<(), String> {
        let new_segment = self.segment.as_ref() != Some(&record.segment);
        if new_segment {
            self.segment_name(&record.segment)?;
            self.segment = Some(Arc::clone(&record.segment));
        }
        self.end_offset = record.offset + record.frame_bytes;
        let data = record.data.clone();
        match record.kind {
            RecordKind::Crc | RecordKind::Metadata => {}
            RecordKind::Entry => {
                self.entry(&Entry::decode(data).map_err(|e| format!("entry: {e}"))?)?;
            }
            RecordKind::State => {
                self.state(HardState::decode(data).map_err(|e| format!("hard state: {e}"))?)?;
            }
            RecordKind::Snapshot => {
                let snapshot = Snapshot::decode(data).map_err(|e| format!("snapshot: {e}"))?;
                if snapshot.index > self.snapshot.index {
                    self.snapshot = snapshot;
                }
            }
        }
        self.records += 1;
        Ok(())
    }

    /// A segment is cut with the index after the last one saved; a snapshot's counts only in the process
    /// that saved it. What was saved before the first segment read is not known.
    fn segment_name(&self, segment: &Path) -> Result<(), String> {
        let name = SegmentName::parse(&file_name(segment));
        let Some(SegmentName { sequence, index }) = name else {
            return Err("the file has no segment's name".to_owned());
        };
        if self.segment.is_none() {
            return match (sequence, index) {
                (0, 1..) => Err(format!(
                    "the first segment is named for index {index}, not 0"
                )),
                _ => Ok(()),
            };
        }
        let last = self.newest.unwrap_or_default();
        let cut_at = [last + 1, last.max(self.snapshot.index) + 1];
        if self.newest.is_none() || cut_at.contains(&index) {
            return Ok(());
        }
        Err(format!(
            "the segment is named for index {index}, but what was saved before ends at {last}"
        ))
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), String> {
        let (index, term) = (entry.index, entry.term);
        self.newest = Some(index);
        let follows_snapshot = self.snapshot.index > 0 && index == self.snapshot.index + 1;
        if self.terms.is_empty() || (index > self.last() + 1 && follows_snapshot) {
            self.first = index;
            self.terms.clear();
        }
        let Some(keep) = index.checked_sub(self.first) else {
            return Err(format!("entry {index} goes back before {}", self.first));
        };
        let keep = usize::try_from(keep).map_err(|e| e.to_string())?;
        if keep > self.terms.len() {
            return Err(format!("entry {index} follows entry {}", self.last()));
        }
        self.terms.truncate(keep);
        if let Some(before) = self.terms.last().filter(|before| **before > term) {
            return Err(format!("entry {index} has term {term} after term {before}"));
        }
        self.terms.push(term);
        Ok(())
    }

    fn state(&mut self, state: HardState) -> Result<(), String> {
        if state.term < self.state.term {
            return Err(format!(
                "term falls from {} to {}",
                self.state.term, state.term
            ));
        }
        if state.commit < self.state.commit {
            return Err(format!(
                "commit falls from {} to {}",
                self.state.commit, state.commit
            ));
        }
        self.state = state;
        Ok(())
    }

    fn at_end(&self) -> Result<(), String> {
        let covered = self.last().max(self.snapshot.index);
        if self.state.commit > covered {
            let commit = self.state.commit;
            let segment = self.segment.as_deref().unwrap_or(Path::new(""));
            return Err(format!(
                "the log ends at {}:{} with entry {covered}, but entries to {commit} were committed",
                segment.display(),
                self.end_offset
            ));
        }
        Ok(())
    }
}
