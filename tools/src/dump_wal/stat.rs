//! Who fills the log: entries and bytes by request, and the use of segments.
use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use prost::Message as _;
use serde_json::json;
use varve_proto::etcdserverpb::Metadata;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_wal::{Record, RecordKind};

use super::args::Cli;
use super::filter::Filter;
use super::log::Run;
use super::request::Request;
use super::start::Start;
use super::steady::{Steady, Stop};
use super::{Place, file_name};
use crate::console::Console;

/// Entries of one kind.
#[derive(Debug, Default)]
struct Kind {
    count: u64,
    bytes: u64,
    largest_bytes: u64,
    largest_index: u64,
}

/// One segment.
#[derive(Debug, Default)]
struct Use {
    name: String,
    file_bytes: u64,
    log_bytes: u64,
    records: u64,
    entries: u64,
    first_index: Option<u64>,
}

/// An entry that no later one has taken the place of, by what it asks for.
#[derive(Clone, Copy, Debug)]
struct Counted {
    index: u64,
    /// None when the filter passes over it.
    name: Option<&'static str>,
    bytes: u64,
}

/// The whole log, counted.
#[derive(Debug, Default)]
struct Statistics {
    metadata: Metadata,
    state: HardState,
    segments: Vec<Use>,
    run: Run,
    entries: Vec<Counted>,
    overridden: u64,
}

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let filter = Filter::of(cli)?;
    // Of the whole log, unless a part was asked for.
    let start = match (cli.start_index, &cli.start_snap) {
        (None, None) => Start::Nothing,
        _ => Start::choose(cli, place)?,
    };
    let end = cli.end_index.unwrap_or(u64::MAX);
    let indexes = start.after()..end;
    let mut statistics = Statistics::default();
    let mut records = Steady::new(place, console, || place.open_all())?;
    let mut stop = None;
    for record in records.by_ref() {
        let added = record.and_then(|record| {
            let added = statistics.add(&record, &filter, &indexes);
            added.map_err(|flaw| Stop::at(&record, &flaw))
        });
        if let Err(why) = added {
            stop = Some(why);
            break;
        }
    }
    statistics.add_segments(place, &records);
    drop(records);
    let kinds = statistics.kinds();
    if cli.json {
        statistics.print_json(&kinds, console)?;
    } else {
        statistics.print_text(&kinds, console)?;
    }
    stop.map_or(Ok(true), |stop| stop.report(console))
}

impl Statistics {
    fn add(
        &mut self,
        record: &Record,
        filter: &Filter,
        indexes: &Range<u64>,
    ) -> Result<(), String> {
        let name = file_name(&record.segment);
        if self
            .segments
            .last()
            .is_none_or(|segment| segment.name != name)
        {
            self.segments.push(Use {
                name,
                ..Use::default()
            });
        }
        let data = record.data.clone();
        let entry = match record.kind {
            RecordKind::Crc => None,
            RecordKind::Snapshot => {
                let snapshot = Snapshot::decode(data).map_err(|e| format!("snapshot: {e}"))?;
                self.run.snapshot = self.run.snapshot.max(snapshot.index);
                None
            }
            RecordKind::Metadata => {
                self.metadata = Metadata::decode(data).map_err(|e| format!("metadata: {e}"))?;
                None
            }
            RecordKind::State => {
                self.state = HardState::decode(data).map_err(|e| format!("hard state: {e}"))?;
                None
            }
            RecordKind::Entry => Some(Entry::decode(data).map_err(|e| format!("entry: {e}"))?),
        };
        if let Some(segment) = self.segments.last_mut() {
            segment.log_bytes = record.offset + record.frame_bytes;
            segment.records += 1;
            if let Some(entry) = &entry {
                segment.entries += 1;
                segment.first_index.get_or_insert(entry.index);
            }
        }
        if let Some(entry) = entry {
            self.entry(&entry, record.frame_bytes, filter, indexes)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry,
        bytes: u64,
        filter: &Filter,
        indexes: &Range<u64>,
    ) -> Result<(), String> {
        let keep = self.run.place(entry.index, self.entries.len())?;
        self.overridden += (self.entries.len() - keep) as u64;
        self.entries.truncate(keep);
        let request = Request::of(entry);
        let wanted = entry.index > indexes.start && entry.index < indexes.end;
        let name = (wanted && filter.passes(&request)).then(|| request.type_name());
        let index = entry.index;
        self.entries.push(Counted { index, name, bytes });
        Ok(())
    }

    /// Sizes of the segments, also of those that damage kept from being read.
    fn add_segments(&mut self, place: &Place, records: &Steady<'_>) {
        for (_, path) in records.segments() {
            let name = file_name(path);
            let file_bytes = place.fs.metadata(path).map_or(0, |meta| meta.len_bytes);
            match self
                .segments
                .iter_mut()
                .find(|segment| segment.name == name)
            {
                Some(segment) => segment.file_bytes = file_bytes,
                None => self.segments.push(Use {
                    name,
                    file_bytes,
                    ..Use::default()
                }),
            }
        }
    }

    fn kinds(&self) -> BTreeMap<&'static str, Kind> {
        let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
        for Counted { index, name, bytes } in &self.entries {
            if let Some(name) = name {
                kinds.entry(name).or_default().add(*bytes, *index);
            }
        }
        kinds
    }
    fn print_text(&self, kinds: &BTreeMap<&str, Kind>, console: &mut Console<'_>) -> Result<()> {
        let range = match (self.entries.first(), self.entries.last()) {
            (Some(first), Some(last)) => format!("{} to {}", first.index, last.index),
            _ => "none".to_owned(),
        };
        writeln!(
            console.out,
            "member {:x} of cluster {:x}, term {}, vote {:x}, commit {}\n\
         entries {range}; {} more were overridden\n",
            self.metadata.node_id,
            self.metadata.cluster_id,
            self.state.term,
            self.state.vote,
            self.state.commit,
            self.overridden,
        )?;
        console.heading(&format!(
            "{:<28} {:>10} {:>14} {:>12} {:>12}",
            "request", "entries", "bytes", "largest", "at index"
        ))?;
        let mut sorted: Vec<_> = kinds.iter().collect();
        sorted.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.bytes));
        for (name, kind) in sorted {
            let Kind {
                count,
                bytes,
                largest_bytes,
                largest_index,
            } = kind;
            writeln!(
                console.out,
                "{name:<28} {count:>10} {bytes:>14} {largest_bytes:>12} {largest_index:>12}"
            )?;
        }
        let (count, bytes) = kinds
            .values()
            .fold((0, 0), |(n, b), k| (n + k.count, b + k.bytes));
        writeln!(console.out, "{:<28} {count:>10} {bytes:>14}\n", "total")?;
        console.heading(&format!(
            "{:<38} {:>12} {:>12} {:>10} {:>10}",
            "segment", "file bytes", "log bytes", "records", "entries"
        ))?;
        for segment in &self.segments {
            writeln!(
                console.out,
                "{:<38} {:>12} {:>12} {:>10} {:>10}",
                segment.name,
                segment.file_bytes,
                segment.log_bytes,
                segment.records,
                segment.entries
            )?;
        }
        Ok(())
    }

    fn print_json(&self, kinds: &BTreeMap<&str, Kind>, console: &mut Console<'_>) -> Result<()> {
        let head = super::json::head(&Start::Nothing, &self.metadata, &self.state);
        writeln!(console.out, "{head}")?;
        for (name, kind) in kinds {
            let line = json!({
                "kind": "request",
                "type": name,
                "entries": kind.count,
                "bytes": kind.bytes,
                "largest_bytes": kind.largest_bytes,
                "largest_index": kind.largest_index,
            });
            writeln!(console.out, "{line}")?;
        }
        for segment in &self.segments {
            let line = json!({
                "kind": "segment",
                "name": segment.name,
                "file_bytes": segment.file_bytes,
                "log_bytes": segment.log_bytes,
                "records": segment.records,
                "entries": segment.entries,
                "first_index": segment.first_index,
            });
            writeln!(console.out, "{line}")?;
        }
        Ok(())
    }
}

impl Kind {
    fn add(&mut self, bytes: u64, index: u64) {
        self.count += 1;
        self.bytes += bytes;
        if bytes > self.largest_bytes {
            (self.largest_bytes, self.largest_index) = (bytes, index);
        }
    }
}
