//! A file of the simulated disk: what programs see, what is durable, and what lies between.
use super::content::Content;
use crate::fs::LockKind;

/// One change to a file's bytes that no sync has covered.
#[derive(Clone, Debug)]
pub(super) enum DataOp {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    GrowTo(u64),
}

/// A change in the journal. `doomed` marks those a failed sync has given up: an image may hold them,
/// but no later sync makes them durable.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) op: DataOp,
    pub(super) doomed: bool,
}

#[derive(Debug, Default)]
pub(super) struct FileNode {
    pub(super) current: Content,
    pub(super) durable: Content,
    pub(super) pending: Vec<Pending>,
    pub(super) mode: u32,
    pub(super) reserved_bytes: u64,
    pub(super) open_handles: u32,
    pub(super) ofd_owner: Option<u64>,
    pub(super) flock_owner: Option<u64>,
}

impl DataOp {
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { offset, bytes } => content.write(bytes, *offset),
            Self::SetLen(len_bytes) => content.set_len(*len_bytes),
            Self::GrowTo(len_bytes) => content.grow_to(*len_bytes),
        }
    }
}

impl FileNode {
    pub(super) fn new(mode: u32) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// A file all of whose content is durable.
    pub(super) fn settled(content: Content, mode: u32) -> Self {
        Self {
            current: content.clone(),
            durable: content,
            mode,
            ..Self::default()
        }
    }

    pub(super) fn change(&mut self, op: DataOp) {
        op.apply(&mut self.current);
        self.pending.push(Pending { op, doomed: false });
    }

    /// A sync that worked: the journal reaches the medium, except what an earlier sync gave up.
    pub(super) fn sync(&mut self) {
        for pending in self.pending.drain(..) {
            if !pending.doomed {
                pending.op.apply(&mut self.durable);
            }
        }
    }

    /// A sync that failed: what it should have covered is given up.
    pub(super) fn doom(&mut self) {
        for pending in &mut self.pending {
            pending.doomed = true;
        }
    }

    pub(super) fn settle(&mut self) {
        self.pending.clear();
        self.durable = self.current.clone();
    }

    /// Space this file takes: its pages, or what was reserved for it when that is more.
    pub(super) fn space_bytes(&self) -> u64 {
        self.current.stored_bytes().max(self.reserved_bytes)
    }

    pub(super) fn lock_owner(&mut self, kind: LockKind) -> &mut Option<u64> {
        match kind {
            LockKind::OpenFileDescription => &mut self.ofd_owner,
            LockKind::Flock => &mut self.flock_owner,
        }
    }
}
