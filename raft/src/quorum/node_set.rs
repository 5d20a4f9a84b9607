//! A set of node ids that is always in order.

use std::fmt;

use crate::ids::NodeId;

/// A sorted set of node ids.
///
/// Clusters have a handful of members, so a sorted vector beats a tree, and its order makes everything
/// derived from it deterministic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSet {
    /// Ascending, without duplicates.
    ids: Vec<NodeId>,
}

impl NodeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `id`; returns whether it was missing.
    pub fn insert(&mut self, id: NodeId) -> bool {
        match self.ids.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.ids.insert(at, id);
                true
            }
        }
    }

    /// Removes `id`; returns whether it was there.
    pub fn remove(&mut self, id: NodeId) -> bool {
        match self.ids.binary_search(&id) {
            Ok(at) => {
                self.ids.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: NodeId) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ids.iter().copied()
    }

    /// The members' numbers as raftpb lists them, in ascending order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.iter().map(NodeId::get).collect()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The members of either set.
    #[must_use]
    pub fn union(&self, other: &NodeSet) -> NodeSet {
        self.iter().chain(other.iter()).collect()
    }

    /// How many ids are in exactly one of the two sets.
    pub fn symmetric_difference_len(&self, other: &NodeSet) -> usize {
        let only = |a: &NodeSet, b: &NodeSet| a.iter().filter(|&id| !b.contains(id)).count();
        only(self, other) + only(other, self)
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(ids: I) -> Self {
        let mut ids: Vec<NodeId> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self { ids }
    }
}

/// `(1 2 3)`, ids in hexadecimal.
impl fmt::Display for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (at, id) in self.ids.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            id.fmt(f)?;
        }
        f.write_str(")")
    }
}
