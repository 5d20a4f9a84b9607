//! Records of a log through everything that shows them.
use std::path::Path;

use prost::Message as _;
use varve_proto::raftpb::Entry;
use varve_wal::{Record, RecordKind};

use super::filter::{ENTRY_TYPES, Filter};
use super::log::Placed;
use super::request::Request;
use super::{json, list, raw};

const KINDS: [RecordKind; 5] = [
    RecordKind::Metadata,
    RecordKind::Entry,
    RecordKind::State,
    RecordKind::Crc,
    RecordKind::Snapshot,
];

/// What a log would show of a record with this data.
pub(crate) fn record(kind: usize, data: &[u8]) {
    let record = Record {
        kind: KINDS[kind % KINDS.len()],
        crc: 0,
        data: data.to_vec().into(),
        segment: Path::new("log/segment").into(),
        offset: 8,
        frame_bytes: 8 + data.len() as u64,
    };
    if let Ok(content) = raw::Content::of(&record) {
        drop((content.text(&record), content.json(&record).to_string()));
    }
}

/// What a log would show of an entry, and whether it would.
pub(crate) fn entry(kind: i32, data: &[u8]) {
    let entry = Entry {
        r#type: kind,
        term: 1,
        index: 1,
        data: Some(data.to_vec().into()),
    };
    let request = Request::of(&entry);
    let placed = Placed {
        segment: Path::new("log/segment").into(),
        offset: 8,
        entry: entry.clone(),
    };
    let shown = json::entry(&placed, &request).to_string();
    assert!(
        serde_json::from_str::<serde_json::Value>(&shown).is_ok(),
        "a line that is no JSON: {shown}"
    );
    for members in [false, true] {
        let line = list::describe(&request, members);
        assert!(!line.contains('\n'), "more than one line: {line:?}");
    }
    let name = [request.type_name().to_owned()];
    let all = ENTRY_TYPES.join(",");
    let filter = Filter::new(&all, &name, None);
    assert!(
        filter.is_err() || filter.is_ok_and(|filter| filter.passes(&request)),
        "its own name is not that of {name:?}"
    );
    let by_key = Filter::new(&all, &[], Some("a")).expect("known types");
    let _passes: bool = by_key.passes(&request);
    // Also as what encloses it in a record.
    drop(Entry::decode(data));
}
