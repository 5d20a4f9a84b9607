//! Removal: nodes that become small join a neighbour.

use std::sync::Arc;

use super::{Inner, MAX_KEY_BYTES, Node, low_bits};

impl<V: Clone> Node<V> {
    /// Removes `key`, which is there.
    pub(super) fn remove(this: &mut Arc<Self>, key: &[u8]) {
        match Arc::make_mut(this) {
            Self::Leaf(leaf) => {
                let i = leaf.keys.search(key).expect("looked up before");
                leaf.keys.remove(i);
                leaf.values.remove(i);
                let low = low_bits(i);
                leaf.live = leaf.live & low | (leaf.live >> 1) & !low;
            }
            Self::Inner(inner) => {
                let i = inner.child_of(key);
                let child = &mut inner.children[i];
                Self::remove(&mut child.node, key);
                child.counts = child.node.counts();
                inner.rebalance(i);
            }
        }
    }

    /// Appends `right`, a neighbour of the same depth; `separator` is the key between the two.
    fn join(&mut self, separator: &[u8], right: &Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                left.live |= right.live << left.values.len();
                left.keys.append(&right.keys);
                left.values.extend_from_slice(&right.values);
            }
            (Self::Inner(left), Self::Inner(right)) => {
                left.keys.insert(left.keys.len(), separator);
                left.keys.append(&right.keys);
                left.children.extend_from_slice(&right.children);
            }
            _ => unreachable!("all leaves are at one depth"),
        }
    }
}

impl<V: Clone> Inner<V> {
    /// Drops child `i` if it is empty, joins it with a neighbour if it is small.
    fn rebalance(&mut self, i: usize) {
        let node = &self.children[i].node;
        let (len, max) = (node.len(), node.max_len());
        if len == 0 {
            self.children.remove(i);
            if self.keys.len() > 0 {
                self.keys.remove(i.saturating_sub(1));
            }
            return;
        }
        if len >= max / 4 || self.children.len() < 2 {
            return;
        }
        let left = if i + 1 < self.children.len() {
            i
        } else {
            i - 1
        };
        let (a, b) = (&self.children[left].node, &self.children[left + 1].node);
        if a.len() + b.len() > max * 3 / 4 || a.key_bytes() + b.key_bytes() > MAX_KEY_BYTES / 2 {
            return;
        }
        let separator = self.keys.to_vec(left);
        self.keys.remove(left);
        let right = self.children.remove(left + 1);
        let child = &mut self.children[left];
        Arc::make_mut(&mut child.node).join(&separator, &right.node);
        child.counts = child.node.counts();
    }
}
