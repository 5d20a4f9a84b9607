//! A journal on a simulated disk: one file, only appended to.
//!
//! # Layout
//! Records of `crc: u32 le | len: u32 le | kind: u8 | body`, the checksum (CRC-32C) over everything
//! behind it. Bodies: entry `term, index: u64 le | type: i32 le | data`, state `term, vote, commit`,
//! snapshot as protobuf. What a record says holds over what earlier ones said.
//!
//! # Failure model
//! The first record that is not whole ends the journal; the rest was never synced, and is cut off.

use std::path::Path;

use bytes::{Buf as _, Bytes};
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{Entry, HardState, Snapshot};
use varve_vfs::{File, Fs as _, OpenOptions, SimFs};

use super::{Recovered, StoreResult, Write};

const PATH: &str = "/journal";
const HEAD_BYTES: usize = 8;

const ENTRY: u8 = 1;
const STATE: u8 = 2;
const SNAPSHOT: u8 = 3;

/// An entry without a payload is not one with an empty payload: the first record has this flag.
const NO_DATA: u8 = 0x80;

#[derive(Debug)]
pub(in crate::raft) struct Lean {
    file: Box<dyn File>,
    end: u64,
    buffer: Vec<u8>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Lean {
    pub(super) fn create(fs: &SimFs) -> StoreResult<Self> {
        let file = fs
            .open(Path::new(PATH), OpenOptions::create_new())
            .map_err(text)?;
        fs.sync_dir(Path::new("/")).map_err(text)?;
        Ok(Self {
            file,
            end: 0,
            buffer: Vec::new(),
        })
    }

    pub(super) fn open(fs: &SimFs, keep_old_end: bool) -> StoreResult<(Self, Recovered)> {
        let content = Bytes::from(fs.read(Path::new(PATH)).map_err(text)?);
        let mut found = Recovered::default();
        let mut rest = content.clone();
        while let Some((kind, body)) = next_record(&mut rest) {
            take_in(&mut found, kind, body, keep_old_end)?;
        }
        let end = (content.len() - rest.len()) as u64;
        let file = fs
            .open(Path::new(PATH), OpenOptions::read_write())
            .map_err(text)?;
        if !rest.is_empty() {
            file.set_len(end).map_err(text)?;
        }
        // If only the process ended, what was just read may not have reached the disk yet.
        file.sync_all().map_err(text)?;
        let buffer = Vec::new();
        Ok((Self { file, end, buffer }, found))
    }

    pub(super) fn write(&mut self, write: Write<'_>) -> StoreResult<()> {
        if let Some(snapshot) = write.snapshot {
            self.record(SNAPSHOT, |body| {
                body.extend_from_slice(&snapshot.encode_to_vec());
            });
        }
        for entry in write.entries {
            let kind = if entry.data.is_none() {
                ENTRY | NO_DATA
            } else {
                ENTRY
            };
            self.record(kind, |body| {
                body.extend_from_slice(&entry.term.to_le_bytes());
                body.extend_from_slice(&entry.index.to_le_bytes());
                body.extend_from_slice(&entry.r#type.to_le_bytes());
                body.extend_from_slice(entry.data.as_deref().unwrap_or_default());
            });
        }
        if let Some(state) = write.state {
            self.record(STATE, |body| {
                for word in [state.term, state.vote, state.commit] {
                    body.extend_from_slice(&word.to_le_bytes());
                }
            });
        }
        self.flush()
    }

    pub(super) fn sync(&mut self) -> StoreResult<()> {
        self.file.sync_data().map_err(text)
    }

    pub(super) fn save_snapshot(&mut self, snapshot: &Snapshot) -> StoreResult<()> {
        self.record(SNAPSHOT, |body| {
            body.extend_from_slice(&snapshot.encode_to_vec());
        });
        self.flush()?;
        self.sync()
    }

    fn record(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEAD_BYTES]);
        self.buffer.push(kind);
        body(&mut self.buffer);
        let len = self.buffer.len() - start - HEAD_BYTES;
        let len = u32::try_from(len).expect("entries of a simulation are small");
        self.buffer[start + 4..start + HEAD_BYTES].copy_from_slice(&len.to_le_bytes());
        let crc = crc32c::crc32c(&self.buffer[start + 4..]);
        self.buffer[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    fn flush(&mut self) -> StoreResult<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file
            .write_all_at(&self.buffer, self.end)
            .map_err(text)?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Takes the next record off `rest`, if it is whole.
fn next_record(rest: &mut Bytes) -> Option<(u8, Bytes)> {
    let mut head = rest.get(..HEAD_BYTES)?;
    let (crc, len) = (head.get_u32_le(), usize::try_from(head.get_u32_le()).ok()?);
    let whole = HEAD_BYTES.checked_add(len)?;
    if len == 0 || crc32c::crc32c(rest.get(4..whole)?) != crc {
        return None;
    }
    let mut record = rest.split_to(whole);
    record.advance(HEAD_BYTES);
    let kind = record.get_u8();
    Some((kind, record))
}

fn take_in(
    found: &mut Recovered,
    kind: u8,
    mut body: Bytes,
    keep_old_end: bool,
) -> StoreResult<()> {
    match kind & !NO_DATA {
        STATE if body.len() == 24 => {
            found.state = HardState {
                term: body.get_u64_le(),
                vote: body.get_u64_le(),
                commit: body.get_u64_le(),
            };
        }
        SNAPSHOT => {
            let snapshot = Snapshot::decode(body).map_err(text)?;
            let (term, index) = (snapshot.metadata.term, snapshot.metadata.index);
            // One of this log leaves what follows; any other replaces it.
            match found
                .entries
                .iter()
                .position(|e| e.index == index && e.term == term)
            {
                Some(at) => drop(found.entries.drain(..=at)),
                None => found.entries.clear(),
            }
            found.snapshot = snapshot;
        }
        ENTRY if body.len() >= 20 => {
            let entry = Entry {
                term: body.get_u64_le(),
                index: body.get_u64_le(),
                r#type: body.get_i32_le(),
                data: (kind & NO_DATA == 0).then_some(body),
            };
            let base = found.snapshot.metadata.index;
            let Some(at) = entry.index.checked_sub(base + 1) else {
                return Ok(());
            };
            let at = usize::try_from(at).map_err(text)?;
            if at > found.entries.len() {
                return Err(format!("a gap before entry {}", entry.index));
            }
            if keep_old_end && at < found.entries.len() {
                found.entries[at] = entry;
            } else {
                found.entries.truncate(at);
                found.entries.push(entry);
            }
        }
        other => return Err(format!("a record of kind {other}")),
    }
    Ok(())
}
