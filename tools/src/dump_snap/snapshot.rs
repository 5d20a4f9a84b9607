//! A `.snap` file, taken apart.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value as Json, json};
use varve_proto::{raftpb, snappb, walpb};
use varve_snap::{SnapName, decode};
use varve_vfs::DynFs;

use super::store::Store;
use crate::console::Console;
use crate::dump_wal::conf_state;

/// What was found in the file.
#[derive(Debug)]
pub(super) struct Snapshot {
    path: PathBuf,
    file_bytes: u64,
    /// Checksum the file gives; none when not even that can be read.
    crc: Option<u32>,
    content: Result<Content, String>,
    /// Whether the log has a record of it; none when there is no log to ask.
    in_log: Option<bool>,
}

#[derive(Debug)]
struct Content {
    snapshot: raftpb::Snapshot,
    /// The file's name does not say what is in it.
    misnamed: bool,
    /// Absent in snapshots of 3.8, which keep no v2 store.
    store: Option<Result<Store, String>>,
}

impl Snapshot {
    pub(super) fn read(fs: &DynFs, file: &Path, known: Option<&[walpb::Snapshot]>) -> Result<Self> {
        let bytes = fs
            .read(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self::of(bytes.into(), file, known))
    }

    /// The same of the bytes of a file.
    pub(super) fn of(bytes: Bytes, file: &Path, known: Option<&[walpb::Snapshot]>) -> Self {
        let file_bytes = bytes.len() as u64;
        let crc = snappb::Snapshot::decode(bytes.clone())
            .ok()
            .map(|container| container.crc);
        let offset = fault_offset(&bytes);
        let content = decode(bytes, file).map_err(|e| format!("{e} (at offset {offset})"));
        let content = content.map(|snapshot| Content::of(snapshot, file));
        let in_log = match (known, &content) {
            (Some(known), Ok(content)) => {
                let meta = &content.snapshot.metadata;
                Some(
                    known
                        .iter()
                        .any(|s| (s.term, s.index) == (meta.term, meta.index)),
                )
            }
            _ => None,
        };
        Self {
            path: file.to_path_buf(),
            file_bytes,
            crc,
            content,
            in_log,
        }
    }

    pub(super) fn flaw(&self) -> Option<String> {
        match &self.content {
            Err(flaw) => Some(flaw.clone()),
            Ok(Content { misnamed: true, .. }) => {
                let path = self.path.display();
                Some(format!("{path}: the name is that of another snapshot"))
            }
            Ok(Content {
                store: Some(Err(flaw)),
                ..
            }) => {
                let path = self.path.display();
                Some(format!("{path}: the data is not a v2 store: {flaw}"))
            }
            Ok(_) => None,
        }
    }

    pub(super) fn print(&self, v2_store: bool, console: &mut Console<'_>) -> Result<()> {
        let crc = self
            .crc
            .map_or_else(|| "unreadable".to_owned(), |crc| format!("{crc:08x}"));
        let verdict = if self.content.is_ok() { "good" } else { "BAD" };
        writeln!(
            console.out,
            "  size      {} bytes, checksum {crc} {verdict}",
            self.file_bytes
        )?;
        let Ok(content) = &self.content else {
            return Ok(());
        };
        let raftpb::SnapshotMetadata {
            term,
            index,
            conf_state,
        } = &content.snapshot.metadata;
        writeln!(console.out, "  covers    index {index}, term {term}")?;
        let known = match self.in_log {
            Some(true) => "knows it",
            Some(false) => "does not know it",
            None => "not looked at",
        };
        writeln!(console.out, "  log       {known}")?;
        for (name, ids) in [
            ("voters", &conf_state.voters),
            ("learners", &conf_state.learners),
            ("outgoing", &conf_state.voters_outgoing),
            ("next", &conf_state.learners_next),
        ] {
            if !ids.is_empty() {
                let ids: Vec<_> = ids.iter().map(|id| format!("{id:x}")).collect();
                writeln!(console.out, "  {name:<9} {}", ids.join(" "))?;
            }
        }
        match &content.store {
            Some(Ok(store)) => store.print(v2_store, console),
            Some(Err(_)) => Ok(()),
            None => Ok(writeln!(console.out, "  data      none")?),
        }
    }

    pub(super) fn json(&self, v2_store: bool) -> Json {
        let mut object = json!({
            "kind": "snapshot",
            "file_bytes": self.file_bytes,
            "crc": self.crc.map(|crc| format!("{crc:08x}")),
            "in_log": self.in_log,
        });
        if let Ok(content) = &self.content {
            let meta = &content.snapshot.metadata;
            object["term"] = json!(meta.term);
            object["index"] = json!(meta.index);
            object["conf_state"] = conf_state(&meta.conf_state);
            object["data_bytes"] = json!(content.snapshot.data.as_ref().map_or(0, Bytes::len));
            if let Some(Ok(store)) = &content.store {
                store.add_json(v2_store, &mut object);
            }
        }
        object
    }
}

impl Content {
    fn of(snapshot: raftpb::Snapshot, file: &Path) -> Self {
        let meta = &snapshot.metadata;
        let name = file
            .file_name()
            .and_then(|name| SnapName::parse(name.to_str()?));
        let own = SnapName {
            term: meta.term,
            index: meta.index,
        };
        let misnamed = name.is_some_and(|name| name != own);
        let data = snapshot.data.as_deref().filter(|data| !data.is_empty());
        let store = data.map(|data| Store::parse(data).map_err(|e| e.to_string()));
        Self {
            snapshot,
            misnamed,
            store,
        }
    }
}

/// Where in a file that is no snapshot the fault is: where its fields stop being those of the container,
/// or else where the data begins, which the checksum covers as a whole.
fn fault_offset(file: &[u8]) -> usize {
    /// Tags of the checksum, a varint, and of the data.
    const CRC: u8 = 0x08;
    const DATA: u8 = 0x12;
    let varint = |at: usize| -> Option<(usize, usize)> {
        let bytes = file.get(at..)?.iter().take(10);
        let len = bytes.take_while(|byte| **byte >= 0x80).count() + 1;
        let bytes = file.get(at..at + len)?.iter().rev();
        let value = bytes.fold(0_u128, |value, byte| value << 7 | u128::from(byte & 0x7f));
        Some((usize::try_from(value).ok()?, at + len))
    };
    let mut at = 0;
    while let Some(tag) = file.get(at) {
        match (*tag, varint(at + 1)) {
            (CRC, Some((_, end))) => at = end,
            (DATA, Some((len, end))) if len <= file.len() - end => return end,
            _ => return at,
        }
    }
    at
}

#[cfg(test)]
mod tests;
