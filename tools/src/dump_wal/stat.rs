//! Who fills the log: entries and bytes by request, and the use of segments.
use std::collections::BTreeMap;

use anyhow::Result;
use prost::Message as _;
use serde_json::json;
use varve_proto::raftpb::Entry;
use varve_wal::RecordKind;

use super::args::Cli;
use super::filter::Filter;
use super::log::Log;
use super::request::Request;
use super::start::Start;
use super::{Console, Place, file_name, open_all};

/// Entries of one kind.
#[derive(Debug, Default)]
struct Kind {
    count: u64,
    bytes: u64,
    largest_bytes: u64,
    largest_index: u64,
}

/// One segment.
#[derive(Debug)]
struct Use {
    name: String,
    file_bytes: u64,
    log_bytes: u64,
    records: u64,
    entries: u64,
    first_index: Option<u64>,
}

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let filter = Filter::new(
        &cli.entry_type,
        &cli.request_type,
        cli.key_prefix.as_deref(),
    )?;
    // Of the whole log, unless a part was asked for.
    let start = match (cli.start_index, &cli.start_snap) {
        (None, None) => Start::Nothing,
        _ => Start::choose(cli, place)?,
    };
    let log = Log::read(place, start.after())?;
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for placed in log.below(cli.end_index) {
        let request = Request::of(&placed.entry);
        if filter.passes(&request) {
            let kind = kinds.entry(request.type_name()).or_default();
            kind.add(placed.frame_bytes, placed.entry.index);
        }
    }
    let segments = segments(place)?;
    if cli.json {
        print_json(&log, &kinds, &segments, console)?;
    } else {
        print_text(&log, &kinds, &segments, console)?;
    }
    log.report_stop(console)
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

fn segments(place: &Place) -> Result<Vec<Use>> {
    let reader = open_all(place)?;
    let mut uses = Vec::new();
    for (_, path) in reader.segments() {
        let file_bytes = place.fs.metadata(path)?.len_bytes;
        let name = file_name(path);
        uses.push(Use {
            name,
            file_bytes,
            log_bytes: 0,
            records: 0,
            entries: 0,
            first_index: None,
        });
    }
    // Damage ends the count; it is reported with the entries.
    for record in reader.records()?.map_while(Result::ok) {
        let name = file_name(&record.segment);
        let Some(segment) = uses.iter_mut().find(|segment| segment.name == name) else {
            continue;
        };
        segment.log_bytes = record.offset + record.frame_bytes;
        segment.records += 1;
        if record.kind == RecordKind::Entry {
            segment.entries += 1;
            if segment.first_index.is_none() {
                segment.first_index = Entry::decode(record.data).ok().map(|entry| entry.index);
            }
        }
    }
    Ok(uses)
}

fn print_text(
    log: &Log,
    kinds: &BTreeMap<&str, Kind>,
    segments: &[Use],
    console: &mut Console<'_>,
) -> Result<()> {
    let range = match (log.entries.first(), log.entries.last()) {
        (Some(first), Some(last)) => format!("{} to {}", first.entry.index, last.entry.index),
        _ => "none".to_owned(),
    };
    writeln!(
        console.out,
        "member {:x} of cluster {:x}, term {}, vote {:x}, commit {}\n\
         entries {range}; {} more were overridden\n",
        log.metadata.node_id,
        log.metadata.cluster_id,
        log.state.term,
        log.state.vote,
        log.state.commit,
        log.overridden,
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
    for segment in segments {
        writeln!(
            console.out,
            "{:<38} {:>12} {:>12} {:>10} {:>10}",
            segment.name, segment.file_bytes, segment.log_bytes, segment.records, segment.entries
        )?;
    }
    Ok(())
}

fn print_json(
    log: &Log,
    kinds: &BTreeMap<&str, Kind>,
    segments: &[Use],
    console: &mut Console<'_>,
) -> Result<()> {
    writeln!(console.out, "{}", super::json::head(&Start::Nothing, log))?;
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
    for segment in segments {
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
