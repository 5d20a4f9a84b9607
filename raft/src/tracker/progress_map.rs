//! Progress by node id, in order.

use std::fmt;

use super::Progress;
use crate::ids::NodeId;

/// Progress of every member in ascending order of ids.
///
/// A sorted vector: a handful of members, and the order in which the leader visits them is the order
/// of its messages, which must not depend on a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressMap {
    members: Vec<(NodeId, Progress)>,
}

impl ProgressMap {
    fn position(&self, id: NodeId) -> Result<usize, usize> {
        self.members
            .binary_search_by_key(&id, |(member, _)| *member)
    }

    /// The progress of `id`, if it is a member.
    pub fn get(&self, id: NodeId) -> Option<&Progress> {
        self.position(id).ok().map(|at| &self.members[at].1)
    }

    /// The progress of `id`, if it is a member.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Progress> {
        match self.position(id) {
            Ok(at) => Some(&mut self.members[at].1),
            Err(_) => None,
        }
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: NodeId) -> bool {
        self.position(id).is_ok()
    }

    /// Adds or replaces a member.
    pub fn insert(&mut self, id: NodeId, progress: Progress) {
        match self.position(id) {
            Ok(at) => self.members[at].1 = progress,
            Err(at) => self.members.insert(at, (id, progress)),
        }
    }

    /// Removes a member and returns its progress.
    pub fn remove(&mut self, id: NodeId) -> Option<Progress> {
        self.position(id).ok().map(|at| self.members.remove(at).1)
    }

    /// All members in ascending order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.members.iter().map(|(id, progress)| (*id, progress))
    }

    /// All members in ascending order of ids.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Progress)> {
        self.members
            .iter_mut()
            .map(|(id, progress)| (*id, progress))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The id at a position of the order, for loops that change the core on the way.
    pub(crate) fn id_at(&self, position: usize) -> Option<NodeId> {
        self.members.get(position).map(|(id, _)| *id)
    }
}

/// One line per member.
impl fmt::Display for ProgressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, progress) in &self.members {
            writeln!(f, "{}: {progress}", id.get())?;
        }
        Ok(())
    }
}
