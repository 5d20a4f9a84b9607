//! Whether a log is what raft wrote.
//!
//! Checked: frames and the chain of checksums (by `varve-wal`), that entries leave no gap except over a
//! snapshot, that terms do not fall from an entry to the next, that the hard state's term and commit never
//! fall, and that at the end the commit is covered by entries or a snapshot.
use anyhow::Result;
use prost::Message as _;
use serde_json::json;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_wal::{Record, RecordKind};

use super::args::Cli;
use super::{Console, Place, open_all};

/// What has been seen so far.
#[derive(Debug, Default)]
struct Checker {
    records: u64,
    /// Terms of the entries from `first` on.
    terms: Vec<u64>,
    first: u64,
    snapshot: Snapshot,
    state: HardState,
}

/// What one reading found.
#[derive(Debug)]
struct Verdict {
    checker: Checker,
    segments: usize,
    flaw: Option<String>,
}

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let mut verdict = inspect(place)?;
    if verdict.flaw.is_some() {
        // A record that is being written may look damaged for a moment: look twice.
        verdict = inspect(place)?;
    }
    let Verdict {
        checker,
        segments,
        flaw,
    } = verdict;
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
    match flaw {
        None => Ok(true),
        Some(flaw) => {
            console.complain(&flaw)?;
            Ok(false)
        }
    }
}

/// Reads the log to its end or its first flaw.
fn inspect(place: &Place) -> Result<Verdict> {
    let reader = open_all(place)?;
    let segments = reader.segments().count();
    let mut checker = Checker::default();
    for record in reader.records()? {
        let outcome = match record {
            Ok(record) => checker.add(&record).map_err(|what| {
                format!(
                    "record at {}:{}: {what}",
                    record.segment.display(),
                    record.offset
                )
            }),
            Err(e) => Err(e.to_string()),
        };
        if let Err(flaw) = outcome {
            return Ok(Verdict {
                checker,
                segments,
                flaw: Some(flaw),
            });
        }
    }
    let flaw = checker.at_end().err();
    Ok(Verdict {
        checker,
        segments,
        flaw,
    })
}

impl Checker {
    /// Index of the last entry.
    fn last(&self) -> u64 {
        (self.first + self.terms.len() as u64).saturating_sub(1)
    }

    fn add(&mut self, record: &Record) -> Result<(), String> {
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

    fn entry(&mut self, entry: &Entry) -> Result<(), String> {
        let (index, term) = (entry.index, entry.term);
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
            return Err(format!(
                "commit {commit} is beyond the last entry {covered}"
            ));
        }
        Ok(())
    }
}
