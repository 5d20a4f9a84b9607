//! The state of the disk and the operations on it; the caller holds its lock.
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::fault::{Faults, Op, Verdict, no_space};
use super::inode::{DataOp, FileNode};
use super::latency::Pace;
use super::names::{Edit, Ino, Names, ROOT, components};
use crate::fs::{LockKind, Metadata, OpenOptions};

/// What the kernel copies at a time.
const PAGE_BYTES: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<Ino, FileNode>,
    pub(super) names: Names,
    pub(super) faults: Faults,
    pub(super) last_ino: Ino,
    pub(super) last_handle: u64,
    pub(super) space_limit_bytes: Option<u64>,
    pub(super) pace: Option<Pace>,
}

impl Disk {
    pub(super) fn settle(&mut self) {
        self.files.values_mut().for_each(FileNode::settle);
        self.names.settle();
        self.collect();
    }

    pub(super) fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<Ino> {
        self.faults.check_power()?;
        let (dir, name) = self.names.lookup_parent(path)?;
        match self.names.get(dir, &name) {
            Some(_) if options.create_new => Err(io::ErrorKind::AlreadyExists.into()),
            Some(ino) if self.names.is_dir(ino) => Err(io::ErrorKind::IsADirectory.into()),
            Some(ino) => {
                if options.truncate {
                    self.change(ino, DataOp::SetLen(0))?;
                }
                Ok(ino)
            }
            None if options.create || options.create_new => {
                let verdict = self.faults.announce(Op::Other)?;
                let ino = self.next_ino();
                self.files.insert(ino, FileNode::new(options.mode));
                self.names.change(vec![Edit {
                    dir,
                    name,
                    target: Some(ino),
                }]);
                verdict.finish().map(|()| ino)
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn write(&mut self, ino: Ino, buf: &[u8], offset: u64) -> io::Result<usize> {
        let verdict = self.faults.announce(Op::Write)?;
        let wanted = match verdict {
            Verdict::Half => buf.len().div_ceil(2),
            Verdict::Pages => whole_pages(offset, buf.len()),
            Verdict::Go | Verdict::Crash => buf.len(),
        };
        let before = self.spare_bytes();
        let file = self.file_mut(ino);
        let restore = before.map(|_| (file.current.clone(), file.space_bytes()));
        file.change(DataOp::Write {
            offset,
            bytes: buf[..wanted].to_vec(),
        });
        if let (Some(spare), Some((content, space))) = (before, restore)
            && file.space_bytes() - space > spare
        {
            file.pending.pop();
            file.current = content;
            return Err(no_space());
        }
        self.faults.count_bytes(wanted);
        verdict.finish().map(|()| wanted)
    }

    pub(super) fn set_len(&mut self, ino: Ino, len_bytes: u64) -> io::Result<()> {
        let file = self.file_mut(ino);
        file.reserved_bytes = file.reserved_bytes.min(len_bytes);
        self.change(ino, DataOp::SetLen(len_bytes))
    }

    pub(super) fn allocate(&mut self, ino: Ino, len_bytes: u64) -> io::Result<()> {
        let spare = self.spare_bytes();
        let file = self.file_mut(ino);
        if spare.is_some_and(|spare| len_bytes.saturating_sub(file.space_bytes()) > spare) {
            self.faults.announce(Op::Other)?;
            return Err(no_space());
        }
        self.change(ino, DataOp::GrowTo(len_bytes))?;
        let file = self.file_mut(ino);
        file.reserved_bytes = file.reserved_bytes.max(len_bytes);
        Ok(())
    }

    pub(super) fn sync_file(&mut self, ino: Ino) -> io::Result<()> {
        match self.faults.announce(Op::FileSync) {
            Ok(Verdict::Crash) => Verdict::Crash.finish(),
            Ok(_) => {
                self.file_mut(ino).sync();
                Ok(())
            }
            Err(e) => {
                if !self.faults.is_crashed() {
                    self.file_mut(ino).doom();
                }
                Err(e)
            }
        }
    }

    pub(super) fn lock(&mut self, ino: Ino, kind: LockKind, handle: u64) -> io::Result<()> {
        self.faults.check_power()?;
        let owner = self.file_mut(ino).lock_owner(kind);
        match owner {
            Some(other) if *other != handle => Err(io::ErrorKind::WouldBlock.into()),
            _ => {
                *owner = Some(handle);
                Ok(())
            }
        }
    }

    /// A number that tells the new handle of `ino` from every other.
    pub(super) fn add_handle(&mut self, ino: Ino) -> u64 {
        self.file_mut(ino).open_handles += 1;
        self.last_handle += 1;
        self.last_handle
    }

    pub(super) fn drop_handle(&mut self, ino: Ino, handle: u64) {
        let file = self.file_mut(ino);
        file.open_handles -= 1;
        for kind in [LockKind::OpenFileDescription, LockKind::Flock] {
            file.lock_owner(kind).take_if(|owner| *owner == handle);
        }
    }

    pub(super) fn create_dir_all(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.faults.check_power()?;
        let mut at = ROOT;
        for name in components(path)? {
            at = match self.names.get(at, &name) {
                Some(ino) if self.names.is_dir(ino) => ino,
                Some(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    let verdict = self.faults.announce(Op::Other)?;
                    let ino = self.next_ino();
                    self.names.add_dir(ino, mode);
                    self.names.change(vec![Edit {
                        dir: at,
                        name,
                        target: Some(ino),
                    }]);
                    verdict.finish()?;
                    ino
                }
            };
        }
        Ok(())
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.faults.check_power()?;
        let dir = self.names.lookup(path)?;
        Ok(self.names.entries(dir)?.keys().cloned().collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.check_power()?;
        let (from_dir, from_name) = self.names.lookup_parent(from)?;
        let (to_dir, to_name) = self.names.lookup_parent(to)?;
        let moved = self
            .names
            .get(from_dir, &from_name)
            .ok_or(io::ErrorKind::NotFound)?;
        if let Some(replaced) = self.names.get(to_dir, &to_name) {
            match (self.names.is_dir(moved), self.names.is_dir(replaced)) {
                (false, true) => return Err(io::ErrorKind::IsADirectory.into()),
                (true, false) => return Err(io::ErrorKind::NotADirectory.into()),
                (true, true) if !self.names.entries(replaced)?.is_empty() => {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
                _ => {}
            }
        }
        let verdict = self.faults.announce(Op::Other)?;
        self.names.change(vec![
            Edit {
                dir: from_dir,
                name: from_name,
                target: None,
            },
            Edit {
                dir: to_dir,
                name: to_name,
                target: Some(moved),
            },
        ]);
        verdict.finish()
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.faults.check_power()?;
        let (dir, name) = self.names.lookup_parent(path)?;
        let ino = self.names.get(dir, &name).ok_or(io::ErrorKind::NotFound)?;
        if self.names.is_dir(ino) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let verdict = self.faults.announce(Op::Other)?;
        self.names.change(vec![Edit {
            dir,
            name,
            target: None,
        }]);
        verdict.finish()
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.faults.check_power()?;
        let (parent, name) = self.names.lookup_parent(path)?;
        let dir = self.names.lookup(path)?;
        self.names.entries(dir)?;
        let verdict = self.faults.announce(Op::Other)?;
        // One removal a name, innermost first: the kernel is not asked to do it in one stroke.
        self.empty_dir(dir);
        self.names.change(vec![Edit {
            dir: parent,
            name,
            target: None,
        }]);
        verdict.finish()
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.faults.check_power()?;
        let dir = self.names.lookup(path)?;
        self.names.entries(dir)?;
        let verdict = self.faults.announce(Op::DirSync)?;
        if verdict != Verdict::Crash {
            self.names.sync(dir);
            self.collect();
        }
        verdict.finish()
    }

    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.faults.check_power()?;
        let ino = self.names.lookup(path)?;
        Ok(match self.files.get(&ino) {
            Some(file) => Metadata {
                len_bytes: file.current.len_bytes(),
                is_dir: false,
                mode: file.mode,
            },
            None => Metadata {
                len_bytes: 0,
                is_dir: true,
                mode: self.names.modes.get(&ino).copied().unwrap_or_default(),
            },
        })
    }

    pub(super) fn file(&self, ino: Ino) -> &FileNode {
        self.files
            .get(&ino)
            .expect("a handle keeps the number of a file that was created")
    }

    fn file_mut(&mut self, ino: Ino) -> &mut FileNode {
        self.files
            .get_mut(&ino)
            .expect("a handle keeps the number of a file that was created")
    }

    fn change(&mut self, ino: Ino, op: DataOp) -> io::Result<()> {
        let verdict = self.faults.announce(Op::Other)?;
        self.file_mut(ino).change(op);
        verdict.finish()
    }

    fn empty_dir(&mut self, dir: Ino) {
        let entries = self.names.current.get(&dir).cloned().unwrap_or_default();
        for (name, ino) in entries {
            if self.names.is_dir(ino) {
                self.empty_dir(ino);
            }
            self.names.change(vec![Edit {
                dir,
                name,
                target: None,
            }]);
        }
    }

    /// Frees files that no handle and no name, current or durable or in the journal, leads to.
    fn collect(&mut self) {
        let names = &self.names;
        let mut named: Vec<Ino> = [&names.current, &names.durable]
            .into_iter()
            .flat_map(|tree| tree.values().flat_map(|dir| dir.values().copied()))
            .chain(
                names
                    .pending
                    .iter()
                    .flat_map(|op| op.0.iter().filter_map(|e| e.target)),
            )
            .collect();
        named.sort_unstable();
        self.files
            .retain(|ino, f| f.open_handles > 0 || named.binary_search(ino).is_ok());
    }

    fn next_ino(&mut self) -> Ino {
        self.last_ino += 1;
        self.last_ino
    }

    /// Space left, when it is limited. Files that lost their name do not count.
    fn spare_bytes(&self) -> Option<u64> {
        let limit = self.space_limit_bytes?;
        Some(limit.saturating_sub(self.used_bytes()))
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.named_files().map(FileNode::space_bytes).sum()
    }

    fn named_files(&self) -> impl Iterator<Item = &FileNode> {
        self.names
            .current
            .values()
            .flat_map(|dir| dir.values())
            .filter_map(|i| self.files.get(i))
    }
}

/// How much of a write is carried that is cut short at a page of the file: up to the first page boundary in
/// its second half, or all of it.
fn whole_pages(offset: u64, len: usize) -> usize {
    let middle = offset + (len as u64) / 2;
    let boundary = middle.next_multiple_of(PAGE_BYTES);
    usize::try_from(boundary - offset).map_or(len, |cut| if cut == 0 { len } else { cut.min(len) })
}
