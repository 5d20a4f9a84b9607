//! Directories: the names programs see, the durable ones, and the changes between.
//!
//! # Invariants
//! 1. A rename is one change: no image has both names, or neither, because of it.
//! 2. Syncing a directory makes its earlier changes durable together with every earlier change they
//!    build on in other directories; a change is never durable before one it followed in its directory.
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

/// Number of a file or directory; 0 is the root.
pub(super) type Ino = u64;

pub(super) const ROOT: Ino = 0;

/// The names of one directory.
pub(super) type Entries = BTreeMap<String, Ino>;

/// One name that now stands for a file, or for nothing.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) dir: Ino,
    pub(super) name: String,
    pub(super) target: Option<Ino>,
}

/// Edits that reach the medium together.
#[derive(Clone, Debug)]
pub(super) struct NameOp(pub(super) Vec<Edit>);

impl NameOp {
    pub(super) fn touches(&self, dir: Ino) -> bool {
        self.0.iter().any(|edit| edit.dir == dir)
    }

    pub(super) fn apply(&self, tree: &mut BTreeMap<Ino, Entries>) {
        for edit in &self.0 {
            let entries = tree.entry(edit.dir).or_default();
            match edit.target {
                Some(ino) => drop(entries.insert(edit.name.clone(), ino)),
                None => drop(entries.remove(&edit.name)),
            }
        }
    }
}

/// The directory tree.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) current: BTreeMap<Ino, Entries>,
    pub(super) durable: BTreeMap<Ino, Entries>,
    pub(super) pending: Vec<NameOp>,
    pub(super) modes: BTreeMap<Ino, u32>,
}

impl Default for Names {
    fn default() -> Self {
        let root = BTreeMap::from([(ROOT, Entries::new())]);
        Self {
            current: root.clone(),
            durable: root,
            pending: Vec::new(),
            modes: BTreeMap::from([(ROOT, 0o755)]),
        }
    }
}

impl Names {
    pub(super) fn change(&mut self, edits: Vec<Edit>) {
        let op = NameOp(edits);
        op.apply(&mut self.current);
        self.pending.push(op);
    }

    pub(super) fn is_dir(&self, ino: Ino) -> bool {
        self.modes.contains_key(&ino)
    }

    pub(super) fn add_dir(&mut self, ino: Ino, mode: u32) {
        self.current.insert(ino, Entries::new());
        self.durable.insert(ino, Entries::new());
        self.modes.insert(ino, mode);
    }

    /// Makes the names of `dir` durable, with what they build on.
    pub(super) fn sync(&mut self, dir: Ino) {
        let mut dirs = vec![dir];
        let mut keep = Vec::with_capacity(self.pending.len());
        for op in self.pending.iter().rev() {
            let due = dirs.iter().any(|d| op.touches(*d));
            if due {
                dirs.extend(op.0.iter().map(|edit| edit.dir));
            }
            keep.push(!due);
        }
        keep.reverse();
        let mut later = Vec::new();
        for (op, keep) in self.pending.drain(..).zip(keep) {
            if keep {
                later.push(op);
            } else {
                op.apply(&mut self.durable);
            }
        }
        self.pending = later;
    }

    pub(super) fn settle(&mut self) {
        self.pending.clear();
        self.durable = self.current.clone();
    }

    /// What stands behind a path.
    pub(super) fn lookup(&self, path: &Path) -> io::Result<Ino> {
        components(path)?
            .iter()
            .try_fold(ROOT, |at, name| self.child(at, name))
    }

    /// The directory a path stands in, and its last name.
    pub(super) fn lookup_parent(&self, path: &Path) -> io::Result<(Ino, String)> {
        let mut names = components(path)?;
        let last = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = names
            .iter()
            .try_fold(ROOT, |at, name| self.child(at, name))?;
        if self.is_dir(dir) {
            Ok((dir, last))
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    pub(super) fn get(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.current.get(&dir)?.get(name).copied()
    }

    pub(super) fn entries(&self, dir: Ino) -> io::Result<&Entries> {
        self.current
            .get(&dir)
            .ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    fn child(&self, dir: Ino, name: &str) -> io::Result<Ino> {
        self.entries(dir)?
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The names of a path below the root; `.` is dropped, `..` and names that are not UTF-8 are refused.
pub(super) fn components(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned());
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(names)
}
