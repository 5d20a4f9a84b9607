//! One member: a core, its log, its disk, and a state machine that hashes what it applies.

use std::collections::VecDeque;

use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, Snapshot,
};
use varve_raft::{MemoryStorage, RawNode, Ready};
use varve_vfs::{CrashRule, SimFs};

use super::store::{Recovered, Store};
use crate::check::{Applied, EntryId, Shadow};
use crate::rng::draw;

/// Work for a member's disk.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) state: Option<HardState>,
    pub(super) entries: Vec<Entry>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) must_sync: bool,
    /// Asynchronous writes: what the write releases.
    pub(super) responses: Vec<Message>,
    /// Synchronous writes: the rest of what is to be done.
    pub(super) ready: Option<Ready>,
}

impl Job {
    /// The mistake of letting go what has to wait for the write. What is for the member itself waits all
    /// the same: it is about memory, not about the disk.
    pub(super) fn release_early(&mut self, id: u64) -> Vec<Message> {
        let mut released: Vec<Message> = self.responses.extract_if(.., |m| m.to != id).collect();
        if let Some(ready) = &mut self.ready {
            released.append(&mut ready.messages);
        }
        released
    }
}

/// What a running member has in memory: a crash takes all of it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) raw: RawNode<MemoryStorage>,
    pub(super) view: MemoryStorage,
    pub(super) store: Store,
    pub(super) jobs: VecDeque<Job>,
    /// How many of `jobs` are being written, as one.
    pub(super) writing: usize,
    pub(super) applies: VecDeque<Message>,
    pub(super) applying: bool,
    pub(super) applied: u64,
    /// The hash of the state after `applied`.
    pub(super) state: u64,
    pub(super) conf_state: ConfState,
    pub(super) shadow: Shadow,
    pub(super) commit: u64,
    pub(super) led_term: u64,
    /// Proposals of this run's clients, by number.
    pub(super) proposals: Vec<u64>,
}

/// A disk that is about to fail, and what becomes of the member then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) rule: CrashRule,
    pub(super) down: u64,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) fs: SimFs,
    /// How often it was started: events of an earlier start are void.
    pub(super) start: u64,
    pub(super) running: Option<Box<Running>>,
    pub(super) armed: Option<Armed>,
    pub(super) paused_until: u64,
    pub(super) period: u64,
    /// How many delays were drawn for its disk and its state machine.
    pub(super) delays: u64,
}

impl Running {
    /// A member that starts with what its disk gave back.
    pub(super) fn new(
        raw: RawNode<MemoryStorage>,
        view: MemoryStorage,
        store: Store,
        conf_state: ConfState,
        found: &Recovered,
    ) -> Self {
        let base = snapshot_id(&found.snapshot);
        let mut shadow = Shadow::behind(base);
        for entry in &found.entries {
            shadow.put(entry_id(entry));
        }
        Self {
            raw,
            view,
            store,
            jobs: VecDeque::new(),
            writing: 0,
            applies: VecDeque::new(),
            applying: false,
            applied: base.index,
            state: snapshot_state(&found.snapshot),
            conf_state,
            shadow,
            commit: found.state.commit,
            led_term: 0,
            proposals: Vec::new(),
        }
    }

    /// Applies the next entry to the state machine, and says what came of it. An error of the core is
    /// handed on.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        twice: bool,
    ) -> Result<Applied, varve_raft::Error> {
        let content = content_hash(entry);
        self.state = draw(self.state, content, entry.index);
        self.applied = entry.index;
        let config = match change_in(entry) {
            Some(change) => {
                let changed = if twice {
                    self.raw.try_apply_conf_change(&change)
                } else {
                    self.raw.apply_conf_change_at(entry.index, &change)
                };
                // The core may be ahead, with the configuration of a snapshot still to be written.
                let superseded = self.raw.is_superseded(entry.index);
                match changed {
                    Ok(conf_state) if !superseded || twice => self.conf_state = conf_state,
                    Ok(_) => {}
                    Err(error) if error.is_fatal() => return Err(error),
                    // Refused, here and on every other member.
                    Err(_) => {}
                }
                (!superseded || twice).then(|| config_hash(&self.conf_state))
            }
            None => None,
        };
        Ok(Applied {
            content,
            state: self.state,
            config,
        })
    }
}

impl Running {
    /// The mistake of carrying out a change that a snapshot has already.
    pub(super) fn apply_again(&mut self, entry: &Entry) {
        if let Some(change) = change_in(entry)
            && let Ok(conf_state) = self.raw.try_apply_conf_change(&change)
        {
            self.conf_state = conf_state;
        }
    }
}

/// The change an entry carries.
fn change_in(entry: &Entry) -> Option<ConfChangeV2> {
    let data = || entry.data.clone().unwrap_or_default();
    match EntryType::try_from(entry.r#type) {
        Ok(EntryType::EntryConfChange) => {
            let change = ConfChange::decode(data()).ok()?;
            Some(varve_raft::ConfChangeExt::to_v2(&change))
        }
        Ok(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(data()).ok(),
        _ => None,
    }
}

pub(super) fn entry_id(entry: &Entry) -> EntryId {
    EntryId {
        term: entry.term,
        index: entry.index,
    }
}

pub(super) fn snapshot_id(snapshot: &Snapshot) -> EntryId {
    EntryId {
        term: snapshot.metadata.term,
        index: snapshot.metadata.index,
    }
}

/// The state a snapshot holds: its hash is all there is of it.
pub(super) fn snapshot_state(snapshot: &Snapshot) -> u64 {
    let data = snapshot.data.as_deref().unwrap_or_default();
    <[u8; 8]>::try_from(data).map_or(0, u64::from_le_bytes)
}

/// A hash of what an entry says, apart from its position.
pub(super) fn content_hash(entry: &Entry) -> u64 {
    let mut hash = u64::from(entry.r#type.cast_unsigned()) << 1 | u64::from(entry.data.is_some());
    let data = entry.data.as_deref().unwrap_or_default();
    for chunk in data.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(7) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    hash ^ (data.len() as u64) << 48
}

/// A hash of a configuration: the order of its members is theirs.
fn config_hash(conf_state: &ConfState) -> u64 {
    let lists = [
        &conf_state.voters,
        &conf_state.voters_outgoing,
        &conf_state.learners,
        &conf_state.learners_next,
    ];
    lists
        .into_iter()
        .fold(u64::from(conf_state.auto_leave), |hash, ids| {
            // A set: any order of the list counts as the same.
            let bits: u64 = ids.iter().map(|id| 1 << (id & 63)).sum();
            draw(hash, bits, 1)
        })
}

/// The number of the proposal in an entry, if it is one.
pub(super) fn proposal_in(entry: &Entry) -> Option<u64> {
    if entry.r#type != EntryType::EntryNormal as i32 {
        return None;
    }
    let number = entry.data.as_ref()?.first_chunk()?;
    Some(u64::from_le_bytes(*number))
}
