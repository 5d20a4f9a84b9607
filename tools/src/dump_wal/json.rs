//! Entries as JSON, one object a line.
//!
//! Byte strings are JSON strings when they are text, and `{"hex": "..."}` otherwise; ids of members are hex
//! strings, as etcd prints them; all other numbers are numbers.
use anyhow::Result;
use serde_json::{Map, Value as Json, json};
use varve_proto::etcdserverpb::Metadata;
use varve_proto::raftpb::{ConfChange, ConfState, HardState};

use super::args::Cli;
use super::filter::Filter;
use super::log::{Log, Placed};
use super::request::{Request, change_name, context};
use super::schema::Presence;
use super::start::Start;
use super::text::enum_name;
use super::tree::{Tree, Value};
use super::{Place, file_name};
use crate::console::Console;

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let filter = Filter::of(cli)?;
    let start = Start::choose(cli, place)?;
    let log = Log::read(place, start.after(), console)?;
    writeln!(console.out, "{}", head(&start, &log.metadata, &log.state))?;
    for placed in log.below(cli.end_index) {
        let request = Request::of(&placed.entry);
        if filter.passes(&request) {
            writeln!(console.out, "{}", entry(placed, &request))?;
        }
    }
    log.report_stop(console)
}

/// The first line: whose log this is.
pub(super) fn head(start: &Start, metadata: &Metadata, state: &HardState) -> Json {
    let snapshot = match start {
        Start::Snapshot {
            term,
            index,
            conf_state,
        } => json!({
            "term": term,
            "index": index,
            "conf_state": self::conf_state(conf_state),
        }),
        Start::Nothing | Start::Index(_) => Json::Null,
    };
    json!({
        "kind": "log",
        "node_id": format!("{:x}", metadata.node_id),
        "cluster_id": format!("{:x}", metadata.cluster_id),
        "term": state.term,
        "vote": format!("{:x}", state.vote),
        "commit": state.commit,
        "after_index": start.after(),
        "snapshot": snapshot,
    })
}

/// One entry.
pub(super) fn entry(placed: &Placed, request: &Request<'_>) -> Json {
    let entry = &placed.entry;
    let mut object = json!({
        "kind": "entry",
        "term": entry.term,
        "index": entry.index,
        "type": request.type_name(),
        "bytes": entry.data.as_ref().map_or(0, bytes::Bytes::len),
        "segment": file_name(&placed.segment),
        "offset": placed.offset,
    });
    let (name, value) = match request {
        Request::Empty => return object,
        Request::Internal(tree) => ("request", message(tree)),
        Request::V2(tree) => ("request", message(tree)),
        Request::ConfChange(change) => ("change", conf_change(change)),
        Request::ConfChangeV2(change) => {
            let changes = change.changes.iter();
            let changes: Vec<_> = changes
                .map(|c| json!({"type": change_name(c.r#type), "node_id": format!("{:x}", c.node_id)}))
                .collect();
            (
                "change",
                json!({"transition": change.transition, "changes": changes}),
            )
        }
        Request::Unknown => (
            "data",
            bytes_value(entry.data.as_deref().unwrap_or_default()),
        ),
    };
    object[name] = value;
    object
}

fn conf_change(change: &ConfChange) -> Json {
    json!({
        "id": change.id,
        "type": change_name(change.r#type),
        "node_id": format!("{:x}", change.node_id),
        "member": context(change),
    })
}

/// A conf state as etcd's own JSON has it: empty lists left out, `auto_leave` always there.
pub(crate) fn conf_state(state: &ConfState) -> Json {
    let mut object = Map::new();
    for (name, ids) in [
        ("voters", &state.voters),
        ("learners", &state.learners),
        ("voters_outgoing", &state.voters_outgoing),
        ("learners_next", &state.learners_next),
    ] {
        if !ids.is_empty() {
            object.insert(name.to_owned(), json!(ids));
        }
    }
    object.insert("auto_leave".to_owned(), json!(state.auto_leave));
    Json::Object(object)
}

/// A decoded message.
pub(super) fn message(tree: &Tree<'_>) -> Json {
    let mut object = Map::new();
    for (field, value) in &tree.values {
        let value = match value {
            Value::Unsigned(n) if field.name.eq_ignore_ascii_case("memberid") => {
                json!(format!("{n:x}"))
            }
            Value::Unsigned(n) if field.name == "member_ID" => json!(format!("{n:x}")),
            Value::Unsigned(n) => json!(n),
            Value::Signed(n) => json!(n),
            Value::Bool(b) => json!(b),
            Value::Bytes(bytes) | Value::Text(bytes) => bytes_value(bytes),
            Value::Enum(number, names) => match enum_name(*number, names) {
                Some(name) => json!(name),
                None => json!(number),
            },
            Value::Message(inner) => message(inner),
        };
        if field.presence == Presence::Repeated {
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            if let Json::Array(list) = list {
                list.push(value);
            }
        } else {
            object.insert(field.name.to_owned(), value);
        }
    }
    if !tree.unknown.is_empty() {
        object.insert("unknown_fields".to_owned(), json!(tree.unknown));
    }
    Json::Object(object)
}

/// Text as a string, anything else as hex under a name that says so.
pub(crate) fn bytes_value(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) => {
            json!(text)
        }
        _ => json!({"hex": hex(bytes)}),
    }
}

/// Two hexadecimal digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
