//! The v2 store in a snapshot: members, cluster version, and the tree.
use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

use crate::console::Console;

/// What etcd writes for a node that never expires.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The store, as far as it says something.
#[derive(Debug, Deserialize)]
pub(super) struct Store {
    #[serde(rename = "Root")]
    root: Node,
    #[serde(rename = "CurrentIndex")]
    index: u64,
}

/// A file (no children) or a directory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    path: String,
    modified_index: u64,
    expire_time: String,
    value: String,
    children: Option<BTreeMap<String, Node>>,
}

/// A member as the store has it.
#[derive(Debug, Default)]
struct Member {
    id: String,
    name: String,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    is_learner: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RaftAttributes {
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner")]
    is_learner: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    name: String,
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
}

impl Store {
    pub(super) fn parse(data: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(data)
    }

    pub(super) fn print(&self, tree: bool, console: &mut Console<'_>) -> Result<()> {
        let (files, bytes) = self.root.content();
        writeln!(
            console.out,
            "  data      v2 store at index {}: {files} files, {bytes} bytes of values",
            self.index
        )?;
        if let Some(version) = self.cluster_version() {
            writeln!(console.out, "  cluster   version {version}")?;
        }
        for member in self.members() {
            let learner = if member.is_learner { " learner" } else { "" };
            writeln!(
                console.out,
                "  member    {}{learner} name={} peers={} clients={}",
                member.id,
                member.name,
                member.peer_urls.join(","),
                member.client_urls.join(","),
            )?;
        }
        let removed = self.removed();
        if !removed.is_empty() {
            writeln!(console.out, "  removed   {}", removed.join(" "))?;
        }
        if tree {
            self.root.print(console)
        } else {
            Ok(())
        }
    }

    pub(super) fn add_json(&self, tree: bool, object: &mut Json) {
        let members = self.members().into_iter().map(|member| {
            json!({
                "id": member.id,
                "name": member.name,
                "peer_urls": member.peer_urls,
                "client_urls": member.client_urls,
                "is_learner": member.is_learner,
            })
        });
        object["members"] = Json::Array(members.collect());
        object["removed_members"] = json!(self.removed());
        object["cluster_version"] = json!(self.cluster_version());
        object["v2_index"] = json!(self.index);
        if tree {
            let mut nodes = Vec::new();
            self.root.collect(&mut nodes);
            object["v2_store"] = Json::Array(nodes);
        }
    }

    fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter()
            .try_fold(&self.root, |node, name| node.children.as_ref()?.get(*name))
    }

    fn names(&self, path: &[&str]) -> Vec<String> {
        let children = self.at(path).and_then(|node| node.children.as_ref());
        children
            .map(|children| children.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn members(&self) -> Vec<Member> {
        let ids = self.names(&["0", "members"]).into_iter();
        ids.map(|id| {
            // What does not parse is shown empty; the tree shows it as it is.
            let raft: RaftAttributes = self.attributes(&id, "raftAttributes");
            let own: Attributes = self.attributes(&id, "attributes");
            Member {
                name: own.name,
                peer_urls: raft.peer_urls.unwrap_or_default(),
                client_urls: own.client_urls.unwrap_or_default(),
                is_learner: raft.is_learner,
                id,
            }
        })
        .collect()
    }

    fn attributes<T: Default + for<'de> Deserialize<'de>>(&self, id: &str, name: &str) -> T {
        let node = self.at(&["0", "members", id, name]);
        node.and_then(|node| serde_json::from_str(&node.value).ok())
            .unwrap_or_default()
    }

    fn removed(&self) -> Vec<String> {
        self.names(&["0", "removed_members"])
    }

    fn cluster_version(&self) -> Option<&str> {
        self.at(&["0", "version"]).map(|node| node.value.as_str())
    }
}

impl Node {
    /// Number of files and bytes of their values.
    fn content(&self) -> (u64, u64) {
        match &self.children {
            None => (1, self.value.len() as u64),
            Some(children) => children.values().fold((0, 0), |(files, bytes), child| {
                let (f, b) = child.content();
                (files + f, bytes + b)
            }),
        }
    }

    fn print(&self, console: &mut Console<'_>) -> Result<()> {
        let expires = match self.expire_time.as_str() {
            NEVER => String::new(),
            time => format!(" (expires {time})"),
        };
        match &self.children {
            None => {
                let value = crate::go_text::octal_quoted(self.value.as_bytes());
                writeln!(console.out, "  {} = {value}{expires}", self.path)?;
            }
            Some(children) => {
                writeln!(
                    console.out,
                    "  {}/{expires}",
                    self.path.trim_end_matches('/')
                )?;
                for child in children.values() {
                    child.print(console)?;
                }
            }
        }
        Ok(())
    }

    fn collect(&self, into: &mut Vec<Json>) {
        let expires = (self.expire_time != NEVER).then_some(&self.expire_time);
        into.push(json!({
            "path": self.path,
            "dir": self.children.is_some(),
            "value": self.value,
            "modified_index": self.modified_index,
            "expires": expires,
        }));
        for child in self.children.iter().flat_map(BTreeMap::values) {
            child.collect(into);
        }
    }
}

#[cfg(test)]
mod tests;
