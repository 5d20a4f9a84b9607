//! A cluster in memory whose links can be cut and whose messages can be looked at, held and repeated.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{ConfChange, ConfChangeV2, Entry, EntryType, Message, MessageType};
use varve_raft::{
    BasicStatus, Config, MemoryStorage, NodeId, RawNode, ReadState, StateRole, is_local_target,
    kind_of,
};

pub(crate) struct Member {
    asynchronous: bool,
    pub(crate) raw: RawNode<MemoryStorage>,
    pub(crate) storage: MemoryStorage,
    /// Everything handed out to be applied.
    pub(crate) applied: Vec<Entry>,
    pub(crate) reads: Vec<ReadState>,
}

/// Members 1, 2, .. and the network between them. Storage is fast and never fails.
pub(crate) struct Network {
    pub(crate) members: BTreeMap<u64, Member>,
    /// Directed links that lose everything.
    cut: BTreeSet<(u64, u64)>,
    /// Kinds that are lost everywhere.
    ignored: Vec<MessageType>,
    /// What was lost on the way.
    pub(crate) lost: Vec<Message>,
}

/// A node of this number.
pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// etcd's settings without what most tests would have to work around.
pub(crate) fn plain(id: u64) -> Config {
    Config {
        check_quorum: false,
        pre_vote: false,
        max_size_per_msg: u64::MAX,
        ..Config::new(id)
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// An empty message of a kind, between two nodes, of a term.
pub(crate) fn message(kind: MessageType, from: u64, to: u64, term: u64) -> Message {
    Message {
        r#type: kind as i32,
        from,
        to,
        term,
        ..Message::default()
    }
}

impl Network {
    pub(crate) fn new(count: u64) -> Self {
        Self::with(count, plain)
    }

    pub(crate) fn with(count: u64, config: impl Fn(u64) -> Config) -> Self {
        let ids: Vec<u64> = (1..=count).collect();
        let stores = ids
            .iter()
            .map(|_| MemoryStorage::with_voters(&ids))
            .collect();
        Self::on(stores, config)
    }

    pub(crate) fn on(stores: Vec<MemoryStorage>, config: impl Fn(u64) -> Config) -> Self {
        let mut network = Self {
            members: BTreeMap::new(),
            cut: BTreeSet::new(),
            ignored: Vec::new(),
            lost: Vec::new(),
        };
        for (id, storage) in (1..).zip(stores) {
            network.add(config(id), storage);
        }
        network
    }

    pub(crate) fn add(&mut self, config: Config, storage: MemoryStorage) {
        let (id, asynchronous) = (config.id, config.async_storage_writes);
        let raw = RawNode::new(config, storage.clone()).unwrap();
        let (applied, reads) = (Vec::new(), Vec::new());
        self.members.insert(
            id,
            Member {
                asynchronous,
                raw,
                storage,
                applied,
                reads,
            },
        );
    }

    pub(crate) fn raw(&mut self, id: u64) -> &mut RawNode<MemoryStorage> {
        &mut self.members.get_mut(&id).unwrap().raw
    }

    pub(crate) fn status(&self, id: u64) -> BasicStatus {
        self.members[&id].raw.basic_status()
    }

    pub(crate) fn role(&self, id: u64) -> StateRole {
        self.status(id).role
    }

    /// What was applied on a member, entries with a payload only.
    pub(crate) fn applied(&self, id: u64) -> Vec<String> {
        let normal = self.members[&id].applied.iter().filter(|entry| {
            entry.r#type() == EntryType::EntryNormal
                && entry.data.as_ref().is_some_and(|data| !data.is_empty())
        });
        normal
            .map(|entry| String::from_utf8(entry.data.clone().unwrap().to_vec()).unwrap())
            .collect()
    }

    pub(crate) fn campaign(&mut self, id: u64) {
        self.raw(id).campaign().unwrap();
        self.settle();
    }

    pub(crate) fn propose(&mut self, id: u64, text: &str) {
        self.raw(id).propose(bytes(text)).unwrap();
        self.settle();
    }

    pub(crate) fn tick(&mut self, id: u64, ticks: usize) {
        for _ in 0..ticks {
            self.raw(id).tick();
            self.settle();
        }
    }

    /// Read indexes that a member was given, by context.
    pub(crate) fn reads(&self, id: u64) -> Vec<(String, u64)> {
        let reads = self.members[&id].reads.iter();
        reads
            .map(|read| {
                (
                    String::from_utf8_lossy(&read.request_ctx).into_owned(),
                    read.index,
                )
            })
            .collect()
    }

    pub(crate) fn isolate(&mut self, id: u64) {
        for other in self.members.keys().copied().filter(|other| *other != id) {
            self.cut.extend([(id, other), (other, id)]);
        }
    }

    pub(crate) fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.ignored.clear();
    }

    pub(crate) fn ignore(&mut self, kind: MessageType) {
        self.ignored.push(kind);
    }

    pub(crate) fn carry_all_kinds(&mut self) {
        self.ignored.clear();
    }

    fn passes(&self, message: &Message) -> bool {
        !self.cut.contains(&(message.from, message.to))
            && kind_of(message).is_none_or(|kind| !self.ignored.contains(&kind))
            && self.members.contains_key(&message.to)
    }

    /// Delivers these and everything that follows from them, until all is quiet.
    pub(crate) fn deliver(&mut self, mut messages: Vec<Message>) {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 10_000, "messages without end");
            for message in std::mem::take(&mut messages) {
                if self.passes(&message) {
                    // A refusal is as good as a loss.
                    drop(self.raw(message.to).step(message));
                } else {
                    self.lost.push(message);
                }
            }
            for id in self.members.keys().copied().collect::<Vec<_>>() {
                messages.extend(self.work(id));
            }
            if messages.is_empty() {
                return;
            }
        }
    }

    /// Works off everything that is under way.
    pub(crate) fn settle(&mut self) {
        self.deliver(Vec::new());
    }

    /// Works off one member's `Ready`s and returns what it has to say to others.
    pub(crate) fn work(&mut self, id: u64) -> Vec<Message> {
        let member = self.members.get_mut(&id).unwrap();
        let mut messages = Vec::new();
        while member.raw.has_ready() {
            let mut ready = member.raw.ready();
            member.reads.append(&mut ready.read_states);
            // In both modes the fields say what there is to do.
            if let Some(state) = ready.hard_state {
                member.storage.set_hard_state(state);
            }
            if let Some(snapshot) = ready.snapshot.clone() {
                member.storage.apply_snapshot(snapshot).unwrap();
            }
            member.storage.append(&ready.entries).unwrap();
            for entry in &ready.committed_entries {
                member.apply(entry);
            }
            let outgoing = std::mem::take(&mut ready.messages);
            if !member.asynchronous {
                messages.extend(outgoing);
                member.raw.advance(ready);
                continue;
            }
            for message in outgoing {
                if !is_local_target(message.to) {
                    messages.push(message);
                    continue;
                }
                for response in message.responses {
                    if response.to == id {
                        member.raw.step(response).unwrap();
                    } else {
                        messages.push(response);
                    }
                }
            }
        }
        messages
    }
}

impl Member {
    fn apply(&mut self, entry: &Entry) {
        self.applied.push(entry.clone());
        let data = entry.data.clone().unwrap_or_default();
        match entry.r#type() {
            EntryType::EntryNormal => {}
            EntryType::EntryConfChange => {
                let change = ConfChange::decode(data).unwrap();
                self.raw.try_apply_conf_change(&change).unwrap();
            }
            EntryType::EntryConfChangeV2 => {
                let change = ConfChangeV2::decode(data).unwrap();
                self.raw.try_apply_conf_change(&change).unwrap();
            }
        }
    }
}
