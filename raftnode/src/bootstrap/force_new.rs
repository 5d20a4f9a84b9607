//! A new cluster of one member out of what that member has: `--force-new-cluster`.
//!
//! For when a majority is lost for good. Conf changes that take every other member out are appended to
//! the log as committed, which is what a majority would otherwise have to agree to. Runs before any
//! thread. Source: etcd `server/etcdserver/bootstrap.go` (`bootstrapRaftFromWALStandalone`,
//! `CreateConfigChangeEnts`).
use std::collections::{BTreeMap, BTreeSet};

use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, HardState,
};
use varve_raft::Storage;

use super::Bootstrapped;
use crate::error::{Error, Result};
use crate::log_store::LogStore;
use crate::membership::{ConfChangeContext, Member, to_json};

/// Members by id, and whether each only learns.
type Members = BTreeMap<u64, bool>;

impl Bootstrapped {
    /// Makes this member the only one of its cluster, whose id stays. What was not committed is dropped.
    /// `own` describes this member, in case the log does not have it. Returns the ids of the members that
    /// will be removed when the log is replayed.
    ///
    /// # Errors
    /// The log could not be read or written, or a conf change in it does not decode.
    pub fn force_new_cluster(&mut self, own: &Member) -> Result<BTreeSet<u64>> {
        let commit = self.commit_index();
        let mut entries = self.committed_entries(commit)?;
        let mut members = members_of(&self.conf_state);
        for entry in &entries {
            follow(&mut members, entry).map_err(|source| Error::ConfChange {
                dir: self.wal_dir.clone(),
                index: entry.index,
                source,
            })?;
        }
        let changes = changes_to_alone(&members, self.node_id, own);
        let removed = members.into_keys().filter(|id| *id != self.node_id);
        let removed: BTreeSet<u64> = removed.collect();
        let mut state = HardState {
            commit,
            ..self.hard_state
        };
        // A log without any entry has no term yet.
        state.term = state.term.max(1);
        let appended: Vec<Entry> = (commit + 1..)
            .zip(&changes)
            .map(|(index, change)| Entry {
                r#type: EntryType::EntryConfChange as i32,
                term: state.term,
                index,
                data: Some(change.encode_to_vec().into()),
            })
            .collect();
        state.commit += appended.len() as u64;
        self.appender.save(Some(&state), &appended, true)?;
        entries.extend(appended);
        self.log = LogStore::new(self.snapshot.clone().unwrap_or_default(), state, entries);
        self.hard_state = state;
        Ok(removed)
    }

    fn committed_entries(&self, commit: u64) -> Result<Vec<Entry>> {
        let first = self.snapshot_index + 1;
        if commit < first {
            return Ok(Vec::new());
        }
        self.log
            .entries(first..commit + 1, u64::MAX)
            .map_err(|e| Error::Raft(e.to_string()))
    }
}

fn members_of(conf_state: &ConfState) -> Members {
    let voters = [&conf_state.voters, &conf_state.voters_outgoing];
    let learners = [&conf_state.learners, &conf_state.learners_next];
    let learners = learners.into_iter().flatten().map(|id| (*id, true));
    learners
        .chain(voters.into_iter().flatten().map(|id| (*id, false)))
        .collect()
}

/// The members after an entry. A change that was rejected when it was applied is followed as well: to
/// remove somebody who never was a member changes nothing.
fn follow(
    members: &mut Members,
    entry: &Entry,
) -> std::result::Result<(), varve_proto::prost::DecodeError> {
    let data = entry.data.clone().unwrap_or_default();
    let changes: Vec<(i32, u64)> = match EntryType::try_from(entry.r#type) {
        Ok(EntryType::EntryConfChange) => {
            let change = ConfChange::decode(data)?;
            vec![(change.r#type, change.node_id)]
        }
        Ok(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(data)?
            .changes
            .iter()
            .map(|c| (c.r#type, c.node_id))
            .collect(),
        _ => return Ok(()),
    };
    for (kind, id) in changes {
        match ConfChangeType::try_from(kind) {
            Ok(ConfChangeType::ConfChangeAddNode) => {
                members.insert(id, false);
            }
            Ok(ConfChangeType::ConfChangeAddLearnerNode) => {
                members.insert(id, true);
            }
            Ok(ConfChangeType::ConfChangeRemoveNode) => {
                members.remove(&id);
            }
            Ok(ConfChangeType::ConfChangeUpdateNode) | Err(_) => {}
        }
    }
    Ok(())
}

/// The changes after which this member is alone. Itself comes first: there is no moment without a voter.
fn changes_to_alone(members: &Members, own_id: u64, own: &Member) -> Vec<ConfChange> {
    let add = |context: &ConfChangeContext| ConfChange {
        id: 0,
        r#type: ConfChangeType::ConfChangeAddNode as i32,
        node_id: own_id,
        context: Some(to_json(context).into_bytes().into()),
    };
    let own = Member {
        id: own_id,
        ..own.clone()
    };
    let first = match members.get(&own_id) {
        Some(false) => None,
        Some(true) => Some(add(&ConfChangeContext {
            member: own,
            is_promote: true,
        })),
        None => Some(add(&ConfChangeContext {
            member: own,
            is_promote: false,
        })),
    };
    let others = members.keys().filter(|id| **id != own_id);
    let removals = others.map(|id| ConfChange {
        id: 0,
        r#type: ConfChangeType::ConfChangeRemoveNode as i32,
        node_id: *id,
        context: None,
    });
    first.into_iter().chain(removals).collect()
}

#[cfg(test)]
mod tests;
