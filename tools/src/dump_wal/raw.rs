//! Every record of a log, in order, also those that later ones override.
use anyhow::Result;
use prost::Message as _;
use serde_json::{Value as Json, json};
use varve_proto::raftpb::{ConfState, Entry, EntryType, HardState};
use varve_proto::walpb::Snapshot;
use varve_wal::{Record, RecordKind};

use super::args::Cli;
use super::json::{bytes_value, conf_state};
use super::schema::requests::METADATA;
use super::steady::{Steady, Stop};
use super::text::compact;
use super::tree::Tree;
use super::{Place, file_name};
use crate::console::Console;
use crate::go_text::octal_quoted;

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let from = cli.start_index.unwrap_or_default();
    let end = cli.end_index.unwrap_or(u64::MAX);
    for record in Steady::new(place, console, || place.open_all())? {
        let decoded = record.and_then(|record| match Content::of(&record) {
            Ok(content) => Ok((record, content)),
            Err(e) => Err(Stop::at(&record, &e.to_string())),
        });
        match decoded {
            Ok((_, content)) if content.place().is_some_and(|at| at < from || at >= end) => {}
            Ok((record, content)) if cli.json => {
                writeln!(console.out, "{}", content.json(&record))?;
            }
            Ok((record, content)) => writeln!(console.out, "{}", content.text(&record))?,
            Err(stop) => {
                if !cli.json && matches!(stop, Stop::Torn(_)) {
                    let text = "ErrUnexpectedEOF: The last record might be corrupted, error: unexpected EOF.";
                    writeln!(console.out, "{text}")?;
                }
                return stop.report(console);
            }
        }
    }
    if !cli.json {
        writeln!(console.out, "EOF: All entries were processed.")?;
    }
    Ok(true)
}

/// A record's data, decoded.
pub(super) enum Content {
    Metadata,
    Crc,
    Entry(Entry),
    State(HardState),
    Snapshot(Snapshot),
}

impl Content {
    pub(super) fn of(record: &Record) -> Result<Self, prost::DecodeError> {
        let data = record.data.clone();
        Ok(match record.kind {
            RecordKind::Metadata => Self::Metadata,
            RecordKind::Crc => Self::Crc,
            RecordKind::Entry => Self::Entry(Entry::decode(data)?),
            RecordKind::State => Self::State(HardState::decode(data)?),
            RecordKind::Snapshot => Self::Snapshot(Snapshot::decode(data)?),
        })
    }

    /// The index the record is about, by which it is chosen; none for what belongs to the segment.
    fn place(&self) -> Option<u64> {
        match self {
            Self::Metadata | Self::Crc => None,
            Self::Entry(entry) => Some(entry.index),
            Self::State(state) => Some(state.commit),
            Self::Snapshot(snapshot) => Some(snapshot.index),
        }
    }

    /// etcd's line for the record: protobuf's compact text form, zeros left out.
    pub(super) fn text(&self, record: &Record) -> String {
        match self {
            Self::Metadata => match Tree::decode(&METADATA, &record.data) {
                Ok(tree) => format!("Metadata: {}", compact(&tree)),
                Err(_) => format!("Metadata: {}", octal_quoted(&record.data)),
            },
            Self::Crc => format!("CRC: {}", record.crc),
            Self::Entry(entry) => {
                let kind = match entry.r#type {
                    0 => String::new(),
                    other => format!("Type:{} ", type_name(other)),
                };
                let data = entry.data.as_deref().map(octal_quoted);
                let data = data.map(|data| format!("Data:{data} ")).unwrap_or_default();
                let numbers = fields(&[("Term", entry.term), ("Index", entry.index)]);
                format!("Entry: {numbers}{kind}{data}")
            }
            Self::State(HardState { term, vote, commit }) => {
                let numbers = fields(&[("term", *term), ("vote", *vote), ("commit", *commit)]);
                format!("HardState: {numbers}")
            }
            Self::Snapshot(snapshot) => {
                let numbers = fields(&[("index", snapshot.index), ("term", snapshot.term)]);
                let members = snapshot
                    .conf_state
                    .as_ref()
                    .map(members)
                    .unwrap_or_default();
                format!("Snapshot: {numbers}{members}")
            }
        }
    }

    pub(super) fn json(&self, record: &Record) -> Json {
        let (kind, value) = match self {
            Self::Metadata => (
                "metadata",
                match Tree::decode(&METADATA, &record.data) {
                    Ok(tree) => super::json::message(&tree),
                    Err(_) => bytes_value(&record.data),
                },
            ),
            Self::Crc => ("crc", Json::Null),
            Self::Entry(entry) => (
                "entry",
                json!({
                    "term": entry.term,
                    "index": entry.index,
                    "type": type_name(entry.r#type),
                    "data": entry.data.as_deref().map(bytes_value),
                }),
            ),
            Self::State(state) => (
                "state",
                json!({
                    "term": state.term,
                    "vote": format!("{:x}", state.vote),
                    "commit": state.commit,
                }),
            ),
            Self::Snapshot(snapshot) => (
                "snapshot",
                json!({
                    "index": snapshot.index,
                    "term": snapshot.term,
                    "conf_state": snapshot.conf_state.as_ref().map(conf_state),
                }),
            ),
        };
        json!({
            "kind": kind,
            "segment": file_name(&record.segment),
            "offset": record.offset,
            "frame_bytes": record.frame_bytes,
            "crc": record.crc,
            "value": value,
        })
    }
}

/// Numbers by name, zeros left out.
fn fields(fields: &[(&str, u64)]) -> String {
    let fields = fields.iter().filter(|(_, value)| *value != 0);
    fields
        .map(|(name, value)| format!("{name}:{value} "))
        .collect::<Vec<_>>()
        .concat()
}

fn members(state: &ConfState) -> String {
    let lists = [
        ("voters", &state.voters),
        ("learners", &state.learners),
        ("voters_outgoing", &state.voters_outgoing),
        ("learners_next", &state.learners_next),
    ];
    let ids = lists
        .iter()
        .flat_map(|(name, ids)| ids.iter().map(move |id| (*name, *id)));
    // An id is never zero, so none is left out.
    let ids = fields(&ids.collect::<Vec<_>>());
    let auto_leave = if state.auto_leave {
        "auto_leave:true "
    } else {
        ""
    };
    format!("conf_state:<{ids}{auto_leave}> ")
}

fn type_name(number: i32) -> String {
    EntryType::try_from(number).map_or_else(|_| number.to_string(), |t| t.as_str_name().to_owned())
}
