//! A set of node ids that is always in order.

use std::fmt;

/// A sorted set of node ids.
///
/// Clusters have a handful of members, so a sorted vector beats a tree, and its order makes everything
/// derived from it deterministic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSet {
    /// Ascending, without duplicates.
    ids: Vec<u64>,
}

impl NodeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `id`; returns whether it was missing.
    pub fn insert(&mut self, id: u64) -> bool {
        match self.ids.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.ids.insert(at, id);
                true
            }
        }
    }

    /// Removes `id`; returns whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        match self.ids.binary_search(&id) {
            Ok(at) => {
                self.ids.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: u64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ids.iter().copied()
    }

    /// The members in ascending order.
    pub fn as_slice(&self) -> &[u64] {
        &self.ids
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

impl FromIterator<u64> for NodeSet {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        let mut ids: Vec<u64> = ids.into_iter().collect();
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
            write!(f, "{id:x}")?;
        }
        f.write_str(")")
    }
}
