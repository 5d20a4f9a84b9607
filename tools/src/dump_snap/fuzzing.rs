//! Bytes as a `.snap` file through everything that shows one.
use std::path::Path;

use prost::Message as _;
use varve_proto::{raftpb, snappb};

use super::snapshot::Snapshot;
use crate::console::Console;

/// What would be shown of a file with these bytes.
pub(crate) fn file(bytes: &[u8]) {
    let path = Path::new("0000000000000002-0000000000000003.snap");
    let snapshot = Snapshot::of(bytes.to_vec().into(), path, None);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut err);
    for tree in [false, true] {
        let printed = snapshot.print(tree, &mut console);
        printed.expect("a vector takes everything");
        drop(snapshot.json(tree).to_string());
    }
    drop(snapshot.flaw());
}

/// The same of a sound file whose v2 store is this.
pub(crate) fn store(json: &[u8]) {
    let snapshot = raftpb::Snapshot {
        data: Some(json.to_vec().into()),
        metadata: raftpb::SnapshotMetadata::default(),
    };
    let data = snapshot.encode_to_vec();
    let crc = crc32c::crc32c(&data);
    let container = snappb::Snapshot {
        crc,
        data: Some(data.into()),
    };
    file(&container.encode_to_vec());
}
