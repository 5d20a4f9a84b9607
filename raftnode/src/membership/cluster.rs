//! The members of the cluster as this member knows them.
//!
//! Changed by the apply thread only, in log order, so that every member walks through the same
//! states; read by everybody through copies. Source of the rules: etcd
//! `server/etcdserver/api/membership/cluster.go`.
//!
//! # Invariants
//! 1. An id is a member or removed, never both; a removed id never comes back
//!    (`a_removed_id_never_comes_back`).
//! 2. No two members share a peer URL (`peer_urls_are_unique`).
use std::collections::{BTreeMap, BTreeSet};

use varve_proto::raftpb::{ConfChange, ConfChangeType};

use super::member::{Attributes, ConfChangeContext, Member, RaftAttributes, to_json};
use super::v2store::V2Store;

/// Why a proposed change of membership does not apply. The texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// The id was a member once.
    #[error("membership: ID removed")]
    IdRemoved,
    /// The id is a member already.
    #[error("membership: ID exists")]
    IdExists,
    /// No member has this id.
    #[error("membership: ID not found")]
    IdNotFound,
    /// Another member listens on one of these URLs.
    #[error("membership: peerURL exists")]
    PeerUrlExists,
    /// The member to promote is a voter.
    #[error("membership: can only promote a learner member")]
    MemberNotLearner,
    /// One more learner than the cluster may have.
    #[error("membership: too many learner members in cluster")]
    TooManyLearners,
    /// The conf change's type or context is not one that etcd writes.
    #[error("membership: malformed conf change")]
    Malformed,
}

/// Members, removed ids and the agreed cluster version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Fixed when the cluster was bootstrapped.
    pub cluster_id: u64,
    /// The id of this member.
    pub local_id: u64,
    /// Learners there may be at once; every member must be told the same number (`--max-learners`).
    pub max_learners: usize,
    members: BTreeMap<u64, Member>,
    removed: BTreeSet<u64>,
    version: Option<String>,
}

/// What applying a conf change did; the caller stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// This member now reads as given (added, promoted or updated).
    Saved(Member),
    /// This id is gone for good.
    Removed(u64),
}

impl Cluster {
    /// An empty view for the given ids, in which there may be one learner.
    pub fn new(cluster_id: u64, local_id: u64) -> Self {
        Self {
            cluster_id,
            local_id,
            max_learners: 1,
            members: BTreeMap::new(),
            removed: BTreeSet::new(),
            version: None,
        }
    }

    /// Members that vote, ascending by id.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|m| !m.is_learner)
    }

    /// All members, ascending by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    pub fn member(&self, id: u64) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether the id was removed.
    pub fn is_removed(&self, id: u64) -> bool {
        self.removed.contains(&id)
    }

    /// Ids that were members once, ascending.
    pub fn removed(&self) -> impl Iterator<Item = u64> {
        self.removed.iter().copied()
    }

    /// The agreed cluster version, such as `3.5.0`.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Records the agreed cluster version.
    pub fn set_version(&mut self, version: &str) {
        self.version = Some(version.to_owned());
    }

    /// Puts a member in as stored, without checks (boot).
    pub fn restore_member(&mut self, member: Member) {
        self.members.insert(member.id, member);
    }

    /// Puts a removed id in as stored (boot).
    pub fn restore_removed(&mut self, id: u64) {
        self.members.remove(&id);
        self.removed.insert(id);
    }

    /// Records what a member published of itself. Unknown ids are ignored: the member may have been
    /// removed between its proposal and now.
    pub fn set_attributes(&mut self, id: u64, attributes: Attributes) -> Option<&Member> {
        let member = self.members.get_mut(&id)?;
        member.name = attributes.name;
        member.client_urls = attributes.client_urls;
        Some(member)
    }

    /// Checks a conf change against the present members, before it is applied.
    pub fn validate(&self, change: &ConfChange) -> Result<(), MembershipError> {
        if self.removed.contains(&change.node_id) {
            return Err(MembershipError::IdRemoved);
        }
        match kind(change)? {
            add
            @ (ConfChangeType::ConfChangeAddNode | ConfChangeType::ConfChangeAddLearnerNode) => {
                let context = context(change)?;
                if context.is_promote {
                    let member = self
                        .members
                        .get(&change.node_id)
                        .ok_or(MembershipError::IdNotFound)?;
                    return if member.is_learner {
                        Ok(())
                    } else {
                        Err(MembershipError::MemberNotLearner)
                    };
                }
                if self.members.contains_key(&change.node_id) {
                    return Err(MembershipError::IdExists);
                }
                self.check_urls(change.node_id, &context.member.peer_urls)?;
                let learners = self.members.values().filter(|m| m.is_learner).count();
                if context.member.is_learner
                    && add == ConfChangeType::ConfChangeAddLearnerNode
                    && learners >= self.max_learners
                {
                    return Err(MembershipError::TooManyLearners);
                }
                Ok(())
            }
            ConfChangeType::ConfChangeRemoveNode => self
                .members
                .get(&change.node_id)
                .ok_or(MembershipError::IdNotFound)
                .map(|_| ()),
            ConfChangeType::ConfChangeUpdateNode => {
                self.members
                    .get(&change.node_id)
                    .ok_or(MembershipError::IdNotFound)?;
                self.check_urls(change.node_id, &context(change)?.member.peer_urls)
            }
        }
    }

    /// Applies a conf change that [`validate`](Self::validate) accepted.
    pub fn apply(&mut self, change: &ConfChange) -> Result<MembershipChange, MembershipError> {
        self.validate(change)?;
        let id = change.node_id;
        match kind(change)? {
            ConfChangeType::ConfChangeRemoveNode => {
                self.members.remove(&id);
                self.removed.insert(id);
                Ok(MembershipChange::Removed(id))
            }
            ConfChangeType::ConfChangeUpdateNode => {
                let urls = context(change)?.member.peer_urls;
                let member = self
                    .members
                    .get_mut(&id)
                    .ok_or(MembershipError::IdNotFound)?;
                member.peer_urls = urls;
                Ok(MembershipChange::Saved(member.clone()))
            }
            add => {
                let context = context(change)?;
                if context.is_promote {
                    let member = self
                        .members
                        .get_mut(&id)
                        .ok_or(MembershipError::IdNotFound)?;
                    member.is_learner = false;
                    return Ok(MembershipChange::Saved(member.clone()));
                }
                let mut member = context.member;
                member.id = id;
                member.is_learner = add == ConfChangeType::ConfChangeAddLearnerNode;
                self.members.insert(id, member.clone());
                Ok(MembershipChange::Saved(member))
            }
        }
    }

    /// Membership and version as the v2 store holds them.
    ///
    /// # Errors
    /// A member's attributes are not the JSON that etcd writes.
    pub fn from_v2(
        store: &V2Store,
        cluster_id: u64,
        local_id: u64,
    ) -> Result<Self, serde_json::Error> {
        let mut cluster = Self::new(cluster_id, local_id);
        for name in store.list("/0/members") {
            let Ok(id) = u64::from_str_radix(name, 16) else {
                continue;
            };
            let raft: RaftAttributes =
                json(store.get(&format!("/0/members/{name}/raftAttributes")))?;
            let own: Attributes = json(store.get(&format!("/0/members/{name}/attributes")))?;
            cluster.restore_member(Member {
                id,
                peer_urls: raft.peer_urls,
                is_learner: raft.is_learner,
                name: own.name,
                client_urls: own.client_urls,
            });
        }
        for name in store.list("/0/removed_members") {
            if let Ok(id) = u64::from_str_radix(name, 16) {
                cluster.restore_removed(id);
            }
        }
        cluster.version = store.get("/0/version").map(str::to_owned);
        Ok(cluster)
    }

    /// Writes membership and version into a v2 store, replacing what it held of them.
    pub fn write_v2(&self, store: &mut V2Store) {
        for id in store
            .list("/0/members")
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
        {
            if u64::from_str_radix(&id, 16).is_ok_and(|id| !self.members.contains_key(&id)) {
                store.remove(&format!("/0/members/{id}"));
            }
        }
        for member in self.members.values() {
            let dir = format!("/0/members/{:x}", member.id);
            set_if_other(
                store,
                &format!("{dir}/raftAttributes"),
                &to_json(&member.raft_attributes()),
            );
            if member.is_started() || !member.client_urls.is_empty() {
                set_if_other(
                    store,
                    &format!("{dir}/attributes"),
                    &to_json(&member.attributes()),
                );
            }
        }
        for id in &self.removed {
            set_if_other(store, &format!("/0/removed_members/{id:x}"), "");
        }
        if let Some(version) = &self.version {
            set_if_other(store, "/0/version", version);
        }
    }

    fn check_urls(&self, id: u64, urls: &[String]) -> Result<(), MembershipError> {
        let taken = self
            .members
            .values()
            .any(|m| m.id != id && m.peer_urls.iter().any(|url| urls.contains(url)));
        if taken {
            Err(MembershipError::PeerUrlExists)
        } else {
            Ok(())
        }
    }
}

fn set_if_other(store: &mut V2Store, path: &str, value: &str) {
    if store.get(path) != Some(value) {
        store.set(path, value);
    }
}

/// A missing node reads as the default (a member that has not published itself); one that does not
/// parse is damage.
fn json<T: Default + serde::de::DeserializeOwned>(
    text: Option<&str>,
) -> Result<T, serde_json::Error> {
    text.map_or_else(|| Ok(T::default()), serde_json::from_str)
}

fn kind(change: &ConfChange) -> Result<ConfChangeType, MembershipError> {
    ConfChangeType::try_from(change.r#type).map_err(|_| MembershipError::Malformed)
}

fn context(change: &ConfChange) -> Result<ConfChangeContext, MembershipError> {
    serde_json::from_slice(change.context.as_deref().unwrap_or_default())
        .map_err(|_| MembershipError::Malformed)
}

#[cfg(test)]
mod tests;
