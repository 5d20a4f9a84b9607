//! Some nodes, the messages between them, and the work their storage threads have yet to do.

use std::collections::VecDeque;
use std::sync::Arc;

use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, MessageType,
    Snapshot,
};
use varve_raft::describe::{describe_message, describe_ready, quote};
use varve_raft::{
    Config, RawNode, is_empty_hard_state, is_empty_snapshot, is_local_target, kind_of,
};

use super::output::{Output, indented};
use super::storage::History;

pub(super) struct Node {
    pub(super) raw: RawNode<History>,
    pub(super) storage: History,
    pub(super) settings: Settings,
    pub(super) append_work: VecDeque<Message>,
    pub(super) apply_work: VecDeque<Message>,
}

/// What `add-nodes` says, kept to restart a node with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) applied: u64,
    pub(super) inflight: usize,
    pub(super) inflight_bytes: u64,
    pub(super) asynchronous: bool,
    pub(super) pre_vote: bool,
    pub(super) check_quorum: bool,
    pub(super) max_committed: u64,
    pub(super) max_size_per_msg: u64,
    pub(super) max_uncommitted: u64,
    pub(super) disable_validation: bool,
    pub(super) disable_forwarding: bool,
    pub(super) lease_based: bool,
    pub(super) step_down: bool,
}

impl Settings {
    pub(super) const ELECTION_TICK: usize = 3;
    pub(super) const HEARTBEAT_TICK: usize = 1;

    pub(super) fn config(&self, id: u64, output: &Output) -> Config {
        use varve_raft::ReadOnlyOption::{LeaseBased, Safe};
        Config {
            election_tick: Self::ELECTION_TICK,
            heartbeat_tick: Self::HEARTBEAT_TICK,
            applied: self.applied,
            async_storage_writes: self.asynchronous,
            max_size_per_msg: self.max_size_per_msg,
            max_committed_size_per_ready: self.max_committed,
            max_uncommitted_entries_size: self.max_uncommitted,
            max_inflight_msgs: self.inflight,
            max_inflight_bytes: self.inflight_bytes,
            check_quorum: self.check_quorum,
            pre_vote: self.pre_vote,
            read_only_option: if self.lease_based { LeaseBased } else { Safe },
            disable_proposal_forwarding: self.disable_forwarding,
            disable_conf_change_validation: self.disable_validation,
            step_down_on_removal: self.step_down,
            logger: Arc::new(output.clone()),
            ..Config::new(id)
        }
    }
}

/// Payloads as quoted strings.
pub(super) fn payload(data: &[u8]) -> String {
    quote(data)
}

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    /// Under way, in order.
    pub(super) messages: Vec<Message>,
    pub(super) output: Output,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            messages: Vec::new(),
            output: Output::new(),
        }
    }

    pub(super) fn indent<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        indented(self, |cluster| &cluster.output, work)
    }

    /// Works on a `Ready`: the storage part at once, or onto the queues of the storage threads.
    pub(super) fn process_ready(&mut self, at: usize) -> Result<(), String> {
        let asynchronous = self.nodes[at].settings.asynchronous;
        let ready = self.nodes[at].raw.ready();
        self.output.push(&describe_ready(&ready, &payload));
        if !asynchronous {
            let state = ready.hard_state.unwrap_or_default();
            self.save(at, state, &ready.entries, ready.snapshot.as_ref())?;
            self.apply(at, &ready.committed_entries)?;
        }
        for message in &ready.messages {
            let message = message.clone();
            match kind_of(&message) {
                Some(MessageType::MsgStorageAppend) => {
                    self.nodes[at].append_work.push_back(message);
                }
                Some(MessageType::MsgStorageApply) => self.nodes[at].apply_work.push_back(message),
                _ => self.messages.push(message),
            }
        }
        if !asynchronous {
            self.nodes[at].raw.advance(ready);
        }
        Ok(())
    }

    pub(super) fn process_append(&mut self, at: usize) -> Result<(), String> {
        let Some(message) = self.nodes[at].append_work.pop_front() else {
            self.output.push("no append work to perform");
            return Ok(());
        };
        self.process_work(message, |cluster, work| {
            let Message {
                term, vote, commit, ..
            } = *work;
            let state = HardState { term, vote, commit };
            cluster.save(at, state, &work.entries, work.snapshot.as_ref())
        })
    }

    pub(super) fn process_apply(&mut self, at: usize) -> Result<(), String> {
        let Some(message) = self.nodes[at].apply_work.pop_front() else {
            self.output.push("no apply work to perform");
            return Ok(());
        };
        self.process_work(message, |cluster, work| cluster.apply(at, &work.entries))
    }

    fn process_work(
        &mut self,
        mut message: Message,
        work: impl FnOnce(&mut Self, &Message) -> Result<(), String>,
    ) -> Result<(), String> {
        let responses = std::mem::take(&mut message.responses);
        let line = |message: &Message| describe_message(message, &payload) + "\n";
        self.output
            .push(&format!("Processing:\n{}", line(&message)));
        work(self, &message)?;
        self.output.push("Responses:\n");
        for response in &responses {
            self.output.push(&line(response));
        }
        self.messages.extend(responses);
        Ok(())
    }

    fn save(
        &mut self,
        at: usize,
        state: HardState,
        entries: &[Entry],
        snapshot: Option<&Snapshot>,
    ) -> Result<(), String> {
        let storage = &self.nodes[at].storage;
        if !is_empty_hard_state(&state) {
            storage.log.set_hard_state(state);
        }
        match snapshot {
            Some(snapshot) if !is_empty_snapshot(snapshot) => {
                if !entries.is_empty() {
                    return Err("can't apply snapshot and entries at the same time".to_owned());
                }
                let applied = storage.log.apply_snapshot(snapshot.clone());
                applied.map_err(|error| error.to_string())
            }
            _ => storage
                .log
                .append(entries)
                .map_err(|error| error.to_string()),
        }
    }

    /// The application: its state is all payloads, one after the other.
    fn apply(&mut self, at: usize, entries: &[Entry]) -> Result<(), String> {
        let node = &mut self.nodes[at];
        for entry in entries {
            let data = entry.data.clone().unwrap_or_default();
            let adopt = |raw: &mut RawNode<History>, change: &ConfChangeV2| {
                raw.try_apply_conf_change(change)
                    .map_err(|error| error.to_string())
            };
            let (update, conf_state): (_, Option<ConfState>) = match entry.r#type() {
                EntryType::EntryNormal => (data, None),
                EntryType::EntryConfChange => {
                    let change = ConfChange::decode(data).map_err(|error| error.to_string())?;
                    let conf_state = node.raw.try_apply_conf_change(&change);
                    let conf_state = conf_state.map_err(|error| error.to_string())?;
                    (change.context.unwrap_or_default(), Some(conf_state))
                }
                EntryType::EntryConfChangeV2 => {
                    let change = ConfChangeV2::decode(data).map_err(|error| error.to_string())?;
                    let conf_state = adopt(&mut node.raw, &change)?;
                    (change.context.unwrap_or_default(), Some(conf_state))
                }
            };
            let mut snapshot = node.storage.latest();
            let mut state = snapshot.data.take().unwrap_or_default().to_vec();
            state.extend_from_slice(&update);
            snapshot.data = Some(state.into());
            snapshot.metadata.index = entry.index;
            snapshot.metadata.term = entry.term;
            if let Some(conf_state) = conf_state {
                snapshot.metadata.conf_state = conf_state;
            }
            node.storage.push(snapshot);
        }
        Ok(())
    }

    /// Takes the messages of this kind, or of any, for a node off the wire. Those that are to be
    /// dropped may only be ones that could be lost.
    pub(super) fn take_messages(
        &mut self,
        to: u64,
        kind: Option<MessageType>,
        drop: bool,
    ) -> Vec<Message> {
        let wanted = |message: &Message| wanted(message, to, kind, drop);
        let (taken, rest) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(wanted);
        self.messages = rest;
        taken
    }

    pub(super) fn has_messages(&self, to: u64) -> bool {
        self.messages
            .iter()
            .any(|message| wanted(message, to, None, false))
    }

    pub(super) fn deliver(&mut self, message: Message) {
        self.output
            .push(&format!("{}\n", describe_message(&message, &payload)));
        let at = usize::try_from(message.to - 1).unwrap();
        if let Err(error) = self.nodes[at].raw.step(message) {
            self.output.push(&format!("{error}\n"));
        }
    }
}

fn wanted(message: &Message, to: u64, kind: Option<MessageType>, drop: bool) -> bool {
    let local = message.from == message.to || is_local_target(message.from);
    message.to == to && !(drop && local) && (kind.is_none() || kind == kind_of(message))
}
