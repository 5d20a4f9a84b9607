//! Which ranges contain a key: a treap of ranges, each node knowing how far its subtree reaches.
//!
//! Used by `matcher`. Equal ranges share a node, so ten thousand watchers of one prefix are one node.
//!
//! # Invariants
//!
//! 1. In-order traversal ascends by (start, end); priorities form a heap.
//! 2. `reach` is the greatest end in the subtree.

use bytes::Bytes;

#[cfg(test)]
mod tests;

/// End of a range; the order of the variants is the order of ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Before(Bytes),
    Open,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < &end[..],
            Self::Open => true,
        }
    }
}

/// Members by range.
#[derive(Debug, Default)]
pub(super) struct Intervals<M> {
    root: Link<M>,
    /// State of the generator of priorities; fixed, so that runs repeat.
    seed: u64,
}

type Link<M> = Option<Box<Node<M>>>;

#[derive(Debug)]
struct Node<M> {
    start: Bytes,
    end: End,
    reach: End,
    priority: u64,
    members: Vec<M>,
    left: Link<M>,
    right: Link<M>,
}

impl<M> Node<M> {
    fn update(&mut self) {
        let below = [&self.left, &self.right];
        let reach = below.into_iter().flatten().map(|node| &node.reach).max();
        self.reach = match reach {
            Some(reach) if *reach > self.end => reach.clone(),
            _ => self.end.clone(),
        };
    }
}

fn merge<M>(left: Link<M>, right: Link<M>) -> Link<M> {
    match (left, right) {
        (None, other) | (other, None) => other,
        (Some(mut left), Some(right)) if left.priority >= right.priority => {
            left.right = merge(left.right.take(), Some(right));
            left.update();
            Some(left)
        }
        (left, Some(mut right)) => {
            right.left = merge(left, right.left.take());
            right.update();
            Some(right)
        }
    }
}

/// Splits into ranges before (start, end) and the others.
fn split<M>(link: Link<M>, start: &[u8], end: &End) -> (Link<M>, Link<M>) {
    let Some(mut node) = link else {
        return (None, None);
    };
    if (&node.start[..], &node.end) < (start, end) {
        let (before, after) = split(node.right.take(), start, end);
        node.right = before;
        node.update();
        (Some(node), after)
    } else {
        let (before, after) = split(node.left.take(), start, end);
        node.left = after;
        node.update();
        (before, Some(node))
    }
}

impl<M: PartialEq> Intervals<M> {
    pub(super) fn new() -> Self {
        Self {
            root: None,
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn next_priority(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn find(&mut self, start: &[u8], end: &End) -> Option<&mut Node<M>> {
        let mut link = &mut self.root;
        while let Some(node) = link {
            match (start, end).cmp(&(&node.start[..], &node.end)) {
                std::cmp::Ordering::Less => link = &mut node.left,
                std::cmp::Ordering::Greater => link = &mut node.right,
                std::cmp::Ordering::Equal => return Some(node),
            }
        }
        None
    }

    pub(super) fn insert(&mut self, start: &Bytes, end: End, member: M) {
        if let Some(node) = self.find(start, &end) {
            node.members.push(member);
            return;
        }
        let node = Node {
            start: start.clone(),
            reach: end.clone(),
            priority: self.next_priority(),
            members: vec![member],
            left: None,
            right: None,
            end,
        };
        let (before, after) = split(self.root.take(), &node.start, &node.end);
        self.root = merge(merge(before, Some(Box::new(node))), after);
    }

    pub(super) fn remove(&mut self, start: &[u8], end: &End, member: &M) {
        let Some(node) = self.find(start, end) else {
            return;
        };
        if let Some(at) = node.members.iter().position(|m| m == member) {
            node.members.swap_remove(at);
        }
        if node.members.is_empty() {
            remove_node(&mut self.root, start, end);
        }
    }

    /// Calls `f` with every member whose range contains `key`.
    pub(super) fn stab(&self, key: &[u8], f: &mut dyn FnMut(&M)) {
        stab(self.root.as_deref(), key, f);
    }
}

fn remove_node<M>(link: &mut Link<M>, start: &[u8], end: &End) {
    let Some(node) = link else { return };
    match (start, end).cmp(&(&node.start[..], &node.end)) {
        std::cmp::Ordering::Less => remove_node(&mut node.left, start, end),
        std::cmp::Ordering::Greater => remove_node(&mut node.right, start, end),
        std::cmp::Ordering::Equal => {
            *link = merge(node.left.take(), node.right.take());
            return;
        }
    }
    node.update();
}

fn stab<M>(node: Option<&Node<M>>, key: &[u8], f: &mut dyn FnMut(&M)) {
    let Some(node) = node else { return };
    if !node.reach.is_after(key) {
        return;
    }
    stab(node.left.as_deref(), key, f);
    if &node.start[..] <= key {
        if node.end.is_after(key) {
            node.members.iter().for_each(&mut *f);
        }
        stab(node.right.as_deref(), key, f);
    }
}
