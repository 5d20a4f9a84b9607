//! A state machine with a database: the list of everything applied, on disk as the server keeps its
//! own. It is durable up to some entry, whole, and behind the log by what was applied since.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeSingle, ConfChangeV2, ConfState, Entry, EntryType, Snapshot,
};
use varve_raftnode::{Fatal, PendingSnapshot, Reconfigure, StateExport, StateMachine};
use varve_vfs::{DynFs, durable};

pub(crate) const DATABASE: &str = "/member/snap/db";

/// Entries that took effect, in order: index and payload.
pub(crate) type Entries = Vec<(u64, Bytes)>;

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// The last entry applied, one without effect perhaps.
    pub(crate) index: u64,
    pub(crate) entries: Entries,
}

impl Content {
    fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.index).into_bytes();
        for (index, data) in &self.entries {
            text.extend_from_slice(format!("{index} ").as_bytes());
            text.extend_from_slice(data);
            text.push(b'\n');
        }
        text
    }

    fn decode(text: &[u8]) -> Self {
        let text = std::str::from_utf8(text).unwrap();
        let mut lines = text.lines();
        let index = lines.next().unwrap().parse().unwrap();
        let entries = lines
            .map(|line| {
                let (index, data) = line.split_once(' ').unwrap();
                (index.parse().unwrap(), Bytes::from(data.to_owned()))
            })
            .collect();
        Self { index, entries }
    }
}

/// What others may look at while the member runs.
pub(crate) type Shared = Arc<Mutex<Content>>;

pub(crate) struct Ledger {
    fs: DynFs,
    content: Shared,
    durable_index: u64,
    /// Entries between commits of the database.
    commit_every: u64,
    committed: u64,
    /// Conf states as applied.
    conf_state: Arc<Mutex<ConfState>>,
}

impl Ledger {
    /// Opens the database of a member whose log starts from a snapshot at this index, taking a received
    /// one in its place where it is behind that.
    pub(crate) fn open(fs: &DynFs, snapshot_index: u64, commit_every: u64) -> Result<Self, String> {
        let path = Path::new(DATABASE);
        let read = |path: &Path| match fs.exists(path) {
            Ok(true) => Some(Content::decode(&fs.read(path).unwrap())),
            _ => None,
        };
        let mut content = read(path).unwrap_or_default();
        if content.index < snapshot_index {
            let received = PathBuf::from(format!("/member/snap/{snapshot_index:016x}.snap.db"));
            content = read(&received).ok_or_else(|| {
                format!(
                    "the database is at {}, the snapshot at {snapshot_index}, and there is no {}",
                    content.index,
                    received.display()
                )
            })?;
            fs.rename(&received, path).map_err(|e| e.to_string())?;
            fs.sync_dir(Path::new("/member/snap"))
                .map_err(|e| e.to_string())?;
        }
        Ok(Self {
            fs: fs.clone(),
            durable_index: content.index,
            committed: content.index,
            content: Arc::new(Mutex::new(content)),
            commit_every,
            conf_state: Arc::default(),
        })
    }

    pub(crate) fn shared(&self) -> (Shared, Arc<Mutex<ConfState>>) {
        (Arc::clone(&self.content), Arc::clone(&self.conf_state))
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable_index
    }

    fn commit(&mut self) -> Result<(), Fatal> {
        let content = self.content.lock().clone();
        self.committed = content.index;
        write(&self.fs, &content)
    }
}

fn write(fs: &DynFs, content: &Content) -> Result<(), Fatal> {
    durable::write_file(fs.as_ref(), Path::new(DATABASE), &content.encode(), 0o600)
        .map_err(Into::into)
}

impl StateMachine for Ledger {
    fn apply(&mut self, entries: &[Entry], raft: &mut dyn Reconfigure) -> Result<(), Fatal> {
        for entry in entries {
            let data = entry.data.clone().unwrap_or_default();
            if entry.r#type == EntryType::EntryConfChange as i32 {
                let change = ConfChange::decode(data.clone())?;
                let single = ConfChangeSingle {
                    r#type: change.r#type,
                    node_id: change.node_id,
                };
                let change = ConfChangeV2 {
                    changes: vec![single],
                    ..ConfChangeV2::default()
                };
                *self.conf_state.lock() = raft.apply_conf_change(entry.index, change)?;
            }
            let mut content = self.content.lock();
            if entry.index <= content.index {
                continue;
            }
            if entry.index != content.index + 1 {
                return Err(format!("entry {} after {}", entry.index, content.index).into());
            }
            content.index = entry.index;
            if entry.r#type == EntryType::EntryNormal as i32 && !data.is_empty() {
                content.entries.push((entry.index, data));
            }
            drop(content);
            if entry.index - self.committed >= self.commit_every {
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Some are, so that both ways are taken.
    fn is_quick(&self, entries: &[Entry]) -> bool {
        entries.iter().all(|entry| entry.index % 3 != 0)
    }

    fn durable_index(&self) -> u64 {
        self.durable_index
    }

    fn snapshot(&mut self) -> Result<PendingSnapshot, Fatal> {
        let (fs, content) = (self.fs.clone(), self.content.lock().clone());
        Ok(PendingSnapshot {
            data: Bytes::from_static(b"{}"),
            make_durable: Box::new(move || {
                // A later state is as good, and an earlier one must not replace it.
                let path = Path::new(DATABASE);
                if fs.exists(path)? && Content::decode(&fs.read(path)?).index >= content.index {
                    return Ok(());
                }
                write(&fs, &content)
            }),
        })
    }

    fn export(&mut self) -> Result<StateExport, Fatal> {
        let image = self.content.lock().encode();
        Ok(StateExport {
            data: Bytes::from_static(b"{}"),
            len: image.len() as u64,
            reader: Box::new(std::io::Cursor::new(image)),
        })
    }

    fn restore(&mut self, snapshot: &Snapshot, database: &Path) -> Result<(), Fatal> {
        let content = Content::decode(&self.fs.read(database)?);
        if content.index != snapshot.metadata.index {
            return Err(format!(
                "a database at {} came with the snapshot at {}",
                content.index, snapshot.metadata.index
            )
            .into());
        }
        self.fs.rename(database, Path::new(DATABASE))?;
        self.fs.sync_dir(Path::new("/member/snap"))?;
        self.committed = content.index;
        *self.content.lock() = content;
        *self.conf_state.lock() = snapshot.metadata.conf_state.clone();
        Ok(())
    }
}
