//! Proposals: into the leader's log, or refused.

use varve_proto::raftpb::{ConfChangeType, ConfChangeV2, Entry, EntryType};

use crate::confchange::{ConfChangeError, decode_entry, mode};
use crate::describe::describe_conf_change;
use crate::entry::payload_size_of;
use crate::error::Error;
use crate::message::message;
use crate::raft::Raft;
use crate::storage::Storage;
use varve_proto::raftpb::MessageType;

impl<S: Storage> Raft<S> {
    /// Takes proposals into the log and sends them on, all of them or none.
    pub(super) fn propose(&mut self, entries: &mut Vec<Entry>) -> Result<(), Error> {
        let Some(leader) = self.role.leader() else {
            return Err(Error::ProposalDropped);
        };
        // Removed from the configuration, and leading until it learns who follows.
        if !self.tracker.progress.contains(self.id) {
            return Err(Error::ProposalDropped);
        }
        if let Some(transferee) = leader.transferee {
            self.config.logger.debug(format_args!(
                "{} [term {}] transfer leadership to {transferee} is in progress; dropping proposal",
                self.id, self.term
            ));
            return Err(Error::ProposalDropped);
        }
        let pending_before = leader.pending_conf_index;
        let changes = decode_changes(entries)?;
        for (at, change) in changes {
            self.admit_conf_change(entries, at, &change);
        }
        if !self.append_entries(entries) {
            if let Some(leader) = self.role.leader_mut() {
                leader.pending_conf_index = pending_before;
            }
            return Err(Error::ProposalDropped);
        }
        self.broadcast_append()
    }

    /// Checks a configuration change against the present configuration. One that cannot be carried
    /// out becomes an empty entry, so that the positions of its neighbours stay.
    fn admit_conf_change(&mut self, entries: &mut [Entry], at: usize, change: &ConfChangeV2) {
        let last = self.log.last_index();
        let Some(leader) = self.role.leader_mut() else {
            return;
        };
        let applied = self.log.applied();
        let is_joint = self.tracker.config.voters.is_joint();
        let leaves_joint = change.changes.is_empty();

        let problem = if leader.pending_conf_index > applied {
            Some(format!(
                "possible unapplied conf change at index {} (applied to {applied})",
                leader.pending_conf_index
            ))
        } else if is_joint && !leaves_joint {
            Some("must transition out of joint config first".to_owned())
        } else if !is_joint && leaves_joint {
            Some("not in joint state; refusing empty conf change".to_owned())
        } else {
            None
        };
        match problem {
            Some(problem) if !self.config.disable_conf_change_validation => {
                self.config.logger.info(format_args!(
                    "{} ignoring conf change {} at config {}: {problem}",
                    self.id,
                    describe_conf_change(change),
                    self.tracker.config
                ));
                entries[at] = Entry::default();
            }
            _ => leader.pending_conf_index = last.plus(at as u64 + 1),
        }
    }

    /// Takes entries into the leader's log, unless too much is uncommitted already. Returns whether it
    /// did.
    pub(super) fn append_entries(&mut self, entries: &mut Vec<Entry>) -> bool {
        let size = payload_size_of(entries);
        let limit = self.config.max_uncommitted_entries_size;
        let Some(leader) = self.role.leader_mut() else {
            return false;
        };
        // Anything goes while nothing is uncommitted, and what weighs nothing goes always.
        if leader.uncommitted_size > 0
            && size > 0
            && leader.uncommitted_size.saturating_add(size) > limit
        {
            self.config.logger.warn(format_args!(
                "{} appending new entries to log would exceed uncommitted entry size limit; \
                 dropping proposal",
                self.id
            ));
            return false;
        }
        leader.uncommitted_size = leader.uncommitted_size.saturating_add(size);

        let mut index = self.log.last_index();
        for entry in &mut *entries {
            index = index.next();
            entry.term = self.term.get();
            entry.index = index.get();
        }
        let index = self.log.append(entries).get();
        // The leader counts as having them once its disk has them; nobody else will tell it.
        let own = message(MessageType::MsgAppResp, self.id);
        self.send(varve_proto::raftpb::Message { index, ..own });
        true
    }

    /// Entries with payloads of this size are committed and applied.
    pub(super) fn reduce_uncommitted(&mut self, size: u64) {
        if let Some(leader) = self.role.leader_mut() {
            leader.uncommitted_size = leader.uncommitted_size.saturating_sub(size);
        }
    }
}

/// The configuration changes among entries, with their positions.
///
/// # Errors
/// One that nobody could carry out: it must not reach the log, where every member would meet it.
fn decode_changes(entries: &[Entry]) -> Result<Vec<(usize, ConfChangeV2)>, ConfChangeError> {
    let mut changes = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if entry.r#type == EntryType::EntryNormal as i32 {
            continue;
        }
        if let Some(change) = decode_entry(entry)? {
            mode(&change)?;
            for single in &change.changes {
                ConfChangeType::try_from(single.r#type)
                    .map_err(|_| ConfChangeError::UnknownType(single.r#type))?;
            }
            changes.push((at, change));
        }
    }
    Ok(changes)
}
