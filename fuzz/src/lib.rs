//! What several fuzz targets share.
#![forbid(unsafe_code)]
use std::path::Path;

use varve_proto::prost::Message;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::{Record, Snapshot};
use varve_vfs::{Fs, OpenOptions, SimFs};
use varve_wal::{Wal, WalOptions};

mod memory;

pub use memory::MemoryFs;

/// What all that a target holds may come to: a target ends with a report as soon as something takes memory
/// for what a length claims.
const MEMORY_BYTES: usize = 32 << 20;

#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, MEMORY_BYTES);

/// Puts a file on a simulated disk, durably.
pub fn put(sim: &SimFs, path: &Path, bytes: &[u8]) {
    let dir = path.parent().expect("a file stands in a directory");
    sim.create_dir_all(dir, 0o700).expect("a fresh disk");
    let file = sim
        .open(path, OpenOptions::create_new())
        .expect("a fresh disk");
    file.write_all_at(bytes, 0).expect("a fresh disk");
}

/// Every way to look at a log, on the same bytes.
///
/// Panics when a record is not what its frame says.
pub fn look_at(disk: &MemoryFs, dir: &Path) {
    let fs = disk.shared();
    let usable = Wal::valid_snapshot_entries(&fs, dir);
    if let Ok(log) = Wal::open_all_read_only(&fs, dir)
        && let Ok(records) = log.records()
    {
        for record in records {
            let Ok(record) = record else { break };
            assert!(record.frame_bytes >= 8 + record.data.len() as u64);
        }
    }
    let from = usable
        .ok()
        .and_then(|mut usable| usable.pop())
        .unwrap_or_default();
    if let Ok(log) = Wal::open_read_only(&fs, dir, &from) {
        drop(log.read_all());
    }
}

/// What a start does: verify, open, repair if that is what it takes, append, close, open again.
///
/// Panics when they disagree: what is opened for append verifies to the same, what was repaired opens or
/// is damaged, and what is appended is read again.
pub fn start(disk: &MemoryFs, dir: &Path) {
    let fs = disk.shared();
    let options = WalOptions {
        // Often reached by what is appended, so that a cut is part of it.
        segment_size_bytes: 512,
        inline_pipeline: true,
        ..WalOptions::default()
    };
    let whole = Snapshot::default();
    let verified = Wal::verify(&fs, dir, &whole);
    let opened = match Wal::open(&fs, dir, &whole, options).and_then(varve_wal::Reader::read_all) {
        Err(e) if e.is_repairable() => {
            assert!(Wal::repair(&fs, dir).expect("a torn tail is cut off"));
            Wal::open(&fs, dir, &whole, options).and_then(varve_wal::Reader::read_all)
        }
        other => {
            if other.is_err() {
                drop(Wal::repair(&fs, dir));
            }
            other
        }
    };
    let Ok((replay, mut log)) = opened else {
        return;
    };
    if replay.snapshot_matched {
        let state = verified.expect("what opens for append verifies");
        assert_eq!(state, replay.hard_state.unwrap_or_default());
    }
    let Some(index) = log.last_index().checked_add(1) else {
        return;
    };
    let next = Entry {
        r#type: 0,
        term: 1,
        index,
        data: Some("next".into()),
    };
    log.save(None, std::slice::from_ref(&next), true)
        .expect("a healthy disk");
    log.close().expect("a healthy disk");
    let again = Wal::open(&fs, dir, &whole, options).and_then(varve_wal::Reader::read_all);
    match again {
        Ok((again, _)) => assert_eq!(again.entries.last(), Some(&next)),
        // The last index may be that of a snapshot past the entries: then the new one leaves a gap.
        Err(e) => assert!(matches!(e, varve_wal::Error::IndexGap { .. }), "{e}"),
    }
}

/// Frames of a log under construction, encoded the plain way.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    crc: u32,
}

impl Frames {
    /// Frames of a segment that follows one whose checksum is `crc`.
    pub fn continuing(crc: u32) -> Self {
        Self {
            bytes: Vec::new(),
            crc,
        }
    }

    /// The running checksum.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The records every segment begins with; the first one also has the snapshot at index 0.
    pub fn head(&mut self, crc: u32) {
        self.frame(&Record {
            r#type: 4,
            crc,
            data: None,
        });
        self.record(1, b"metadata");
        if crc == 0 {
            self.record(5, &Snapshot::default().encode_to_vec());
        }
    }

    /// A record of any type with any data.
    pub fn record(&mut self, kind: i64, data: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, data);
        self.frame(&Record {
            r#type: kind,
            crc: self.crc,
            data: Some(data.to_vec().into()),
        });
    }

    /// An entry at, or a little before, the end of the log; its index.
    pub fn entry(&mut self, what: u8, body: &[u8], last_index: u64) -> u64 {
        let index = (last_index + 1).saturating_sub(u64::from(what >> 5)).max(1);
        let (term, data) = body.split_first().unwrap_or((&1, &[]));
        let entry = Entry {
            r#type: i32::from(what >> 3 & 3),
            term: u64::from(*term),
            index,
            data: Some(data.to_vec().into()),
        };
        self.record(2, &entry.encode_to_vec());
        index
    }

    /// A hard state, or the record of a snapshot.
    pub fn state(&mut self, what: u8, body: &[u8]) {
        let number = |at: usize| u64::from(body.get(at).copied().unwrap_or_default());
        if what >> 7 == 0 {
            let state = HardState {
                term: number(0),
                vote: number(1),
                commit: number(2),
            };
            self.record(3, &state.encode_to_vec());
        } else {
            let conf_state = varve_proto::raftpb::ConfState::decode(body.get(2..).unwrap_or(&[]));
            let snapshot = Snapshot {
                index: number(0),
                term: number(1),
                conf_state: conf_state.ok(),
            };
            self.record(5, &snapshot.encode_to_vec());
        }
    }

    fn frame(&mut self, record: &Record) {
        let body = record.encode_to_vec();
        let pad = body.len().wrapping_neg() % 8;
        let flag = if pad == 0 { 0 } else { 0x80 | pad as u64 };
        self.bytes
            .extend((body.len() as u64 | flag << 56).to_le_bytes());
        self.bytes.extend(&body);
        self.bytes.resize(self.bytes.len() + pad, 0);
    }
}
