//! What most tests of the log begin with.
use std::path::Path;

use varve_proto::raftpb::{ConfState, Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{Fs, SimFs};
use varve_wal::{Appender, Replay, Result, SegmentName, Wal, WalOptions};

pub(crate) const DIR: &str = "/data/member/wal";
pub(crate) const METADATA: &[u8] = b"\x08\x01\x10\x02";

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

/// Small segments, everything on the calling thread.
pub(crate) fn options() -> WalOptions {
    WalOptions {
        segment_size_bytes: 4096,
        inline_pipeline: true,
        ..WalOptions::default()
    }
}

pub(crate) fn zero() -> Snapshot {
    Snapshot::default()
}

pub(crate) fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let fill = u8::try_from(index % 250).unwrap() + 1;
    Entry {
        r#type: 0,
        term,
        index,
        data: Some(vec![fill; bytes].into()),
    }
}

pub(crate) fn state(term: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote: 1,
        commit,
    }
}

pub(crate) fn snapshot(term: u64, index: u64) -> Snapshot {
    let conf_state = Some(ConfState {
        voters: vec![1],
        ..ConfState::default()
    });
    Snapshot {
        index,
        term,
        conf_state,
    }
}

pub(crate) fn create(sim: &SimFs) -> Appender {
    Wal::create(&sim.shared(), dir(), METADATA, options()).unwrap()
}

pub(crate) fn open(sim: &SimFs, start: &Snapshot) -> Result<(Replay, Appender)> {
    Wal::open(&sim.shared(), dir(), start, options())?.read_all()
}

/// Names and bytes of the segments.
pub(crate) fn segments(sim: &SimFs) -> Vec<(String, Vec<u8>)> {
    let names = sim.read_dir(dir()).unwrap();
    names
        .into_iter()
        .filter(|name| SegmentName::parse(name).is_some())
        .map(|name| {
            let bytes = sim.read(&dir().join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}
