//! The v2 store as far as a member needs it: a tree of text values, saved as JSON inside `.snap`.
//!
//! etcd up to 3.5 keeps membership and cluster version here (`/0/...`) and reads them back from the
//! newest `.snap` at boot; users of the v2 API have their keys below `/1`. We keep the whole tree, so
//! nothing a v2 user stored is lost when Varve takes over a data directory, and change only `/0`.
//! Called by the apply thread; plain data, no I/O.
//!
//! # Layout
//! `docs/formats/snapshot.md`. Source: etcd `server/etcdserver/api/v2store/{store,node}.go`.
//!
//! # Not here
//! The event history (`WatcherHub`) and the statistics are not carried over: they serve only v2
//! watches of the past, and etcd's loader starts fresh ones when they are absent.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Go's zero time, which stands for "never expires".
const PERMANENT: &str = "0001-01-01T00:00:00Z";

/// The version field that etcd writes into the document.
const CURRENT_VERSION: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    path: String,
    created_index: u64,
    modified_index: u64,
    #[serde(default = "permanent")]
    expire_time: String,
    #[serde(default)]
    value: String,
    /// `null` for a value, an object for a directory.
    children: Option<BTreeMap<String, Node>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    root: Node,
    current_index: u64,
    current_version: u64,
}

/// The tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V2Store {
    root: Node,
    current_index: u64,
}

fn permanent() -> String {
    PERMANENT.to_owned()
}

impl Node {
    fn new(path: &str, index: u64, value: Option<&str>) -> Self {
        Self {
            path: path.to_owned(),
            created_index: index,
            modified_index: index,
            expire_time: permanent(),
            value: value.unwrap_or_default().to_owned(),
            children: value.is_none().then(BTreeMap::new),
        }
    }
}

impl Default for V2Store {
    fn default() -> Self {
        Self::new()
    }
}

impl V2Store {
    /// An empty store: `/`, `/0` (cluster) and `/1` (keys of the v2 API).
    pub fn new() -> Self {
        let mut root = Node::new("/", 0, None);
        let children = root.children.get_or_insert_default();
        for name in ["0", "1"] {
            children.insert(name.to_owned(), Node::new(&format!("/{name}"), 0, None));
        }
        Self {
            root,
            current_index: 0,
        }
    }

    /// Reads the JSON of a `.snap` file.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(json)?;
        Ok(Self {
            root: document.root,
            current_index: document.current_index,
        })
    }

    /// The JSON of a `.snap` file, in Go's `encoding/json` style.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            root: self.root.clone(),
            current_index: self.current_index,
            current_version: CURRENT_VERSION,
        };
        let text = serde_json::to_string(&document).expect("a tree of strings serialises");
        escape_as_go(&text).into_bytes()
    }

    /// Stores a value, creating the directories above it. A directory in the way is replaced.
    pub fn set(&mut self, path: &str, value: &str) {
        self.current_index += 1;
        let index = self.current_index;
        let Some((dir, name)) = self.make_dirs(path, index) else {
            return;
        };
        dir.insert(name.clone(), Node::new(&normal(path), index, Some(value)));
    }

    /// Removes a value or a directory with all it holds; whether it existed.
    pub fn remove(&mut self, path: &str) -> bool {
        let mut names = parts(path).collect::<Vec<_>>();
        let Some(last) = names.pop() else {
            return false;
        };
        let mut node = &mut self.root;
        for name in names {
            match node.children.as_mut().and_then(|c| c.get_mut(name)) {
                Some(child) => node = child,
                None => return false,
            }
        }
        let removed = node
            .children
            .as_mut()
            .and_then(|c| c.remove(last))
            .is_some();
        if removed {
            self.current_index += 1;
        }
        removed
    }

    /// The value at a path; `None` for a directory or a missing name.
    pub fn get(&self, path: &str) -> Option<&str> {
        let node = self.find(path)?;
        node.children.is_none().then_some(node.value.as_str())
    }

    /// The names in a directory, ascending; empty when it does not exist.
    pub fn list(&self, path: &str) -> Vec<&str> {
        self.find(path)
            .and_then(|n| n.children.as_ref())
            .map(|c| c.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }

    /// Whether users of the v2 API have stored anything (`/1` not empty, or v2 auth below `/2`).
    pub fn has_user_content(&self) -> bool {
        !self.list("/1").is_empty() || self.find("/2").is_some()
    }

    fn find(&self, path: &str) -> Option<&Node> {
        parts(path).try_fold(&self.root, |node, name| node.children.as_ref()?.get(name))
    }

    /// The directory that holds the last part of `path`, made on the way, and that part.
    fn make_dirs(
        &mut self,
        path: &str,
        index: u64,
    ) -> Option<(&mut BTreeMap<String, Node>, String)> {
        let mut names = parts(path).map(str::to_owned).collect::<Vec<_>>();
        let last = names.pop()?;
        let mut node = &mut self.root;
        let mut walked = String::new();
        for name in names {
            walked.push('/');
            walked.push_str(&name);
            node = node
                .children
                .get_or_insert_default()
                .entry(name)
                .or_insert_with(|| Node::new(&walked, index, None));
        }
        Some((node.children.get_or_insert_default(), last))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|p| !p.is_empty())
}

fn normal(path: &str) -> String {
    parts(path).fold(String::new(), |acc, p| acc + "/" + p)
}

/// Go's encoder escapes these five characters inside strings; outside strings they do not occur.
fn escape_as_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes everything");
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
