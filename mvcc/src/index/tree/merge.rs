//! Many keys at once: a sorted run is merged into the tree in one walk.
//!
//! Used when a store is opened: rows come by the ten thousand, sorted beforehand. A leaf that gets several
//! keys is written anew once and not shifted for each of them, and what outgrows a node becomes its
//! siblings, level by level.

use std::ops::Range;
use std::sync::Arc;

use super::{Child, Inner, Leaf, MAX_CHILDREN, MAX_ENTRIES, MAX_KEY_BYTES, Node, Tree, separator};
use crate::index::keys::{Keys, Parts};

/// Makes the entry of key number `.0` of the run from what the tree has for it.
pub(in crate::index) type Make<'f, V> = dyn FnMut(usize, Option<(&V, bool)>) -> (V, bool) + 'f;

/// Up to so many keys are inserted one by one where they fit a leaf.
const ONE_BY_ONE: usize = 3;

/// A part of the run.
#[derive(Clone, Copy)]
struct Part<'a> {
    keys: &'a [&'a [u8]],
    /// Number of its first key in the run.
    first: usize,
}

impl Part<'_> {
    fn part(&self, range: Range<usize>) -> Self {
        Self {
            keys: &self.keys[range.clone()],
            first: self.first + range.start,
        }
    }

    /// How many keys from `from` on, at least one, are smaller than `key`. Looks in doubling steps: mostly
    /// there are few.
    fn run_before(&self, from: usize, key: &[u8]) -> usize {
        let rest = &self.keys[from..];
        let mut step = 1;
        while rest.get(step).is_some_and(|k| *k < key) {
            step *= 2;
        }
        let (low, high) = (step / 2 + 1, rest.len().min(step));
        low + rest[low..high.max(low)].partition_point(|k| *k < key)
    }
}

/// What stands to the right of a node that was split: nodes, and the key in front of each.
struct Siblings<V> {
    keys: Vec<Vec<u8>>,
    nodes: Vec<Child<V>>,
}

impl<V> Siblings<V> {
    const NONE: Self = Self {
        keys: Vec::new(),
        nodes: Vec::new(),
    };
}

/// A key that is new to a leaf.
struct Fresh<'a, V> {
    /// The entry it comes in front of.
    at: usize,
    key: &'a [u8],
    value: V,
    live: bool,
}

/// Cuts `count` keys or children into nodes: full ones, or about equal ones that leave room to grow.
fn cut(count: usize, max: usize, full: bool, len: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let each = if full {
        max
    } else {
        count.div_ceil(count.div_ceil(max))
    };
    let (mut start, mut bytes) = (0, 0);
    let mut ranges = Vec::new();
    for i in 0..count {
        let longer = bytes + len(i);
        if i - start == each || (i - start > 2 && longer > MAX_KEY_BYTES / 2) {
            ranges.push(start..i);
            start = i;
            bytes = len(i);
        } else {
            bytes = longer;
        }
    }
    ranges.push(start..count);
    ranges
}

/// The inner nodes of one level over `children`, which `separators` part.
fn level<V>(
    children: Vec<Child<V>>,
    separators: &[Parts<'_>],
    full: bool,
) -> (Inner<V>, Siblings<V>) {
    let len = |i: usize| separators.get(i).map_or(0, |[a, b]| a.len() + b.len());
    let ranges = cut(children.len(), MAX_CHILDREN, full, len);
    let mut children = children.into_iter();
    let mut nodes = ranges.into_iter().map(|range| {
        let inner = Inner {
            keys: Keys::of(range.start..range.end - 1, |i| separators[i]),
            children: children.by_ref().take(range.len()).collect(),
        };
        (range.start, inner)
    });
    let (_, first) = nodes.next().expect("at least one child");
    let mut right = Siblings::NONE;
    for (start, inner) in nodes {
        right.keys.push(separators[start - 1].concat());
        right.nodes.push(Child::of(Arc::new(Node::Inner(inner))));
    }
    (first, right)
}

impl<V: Clone> Tree<V> {
    /// Puts in what `make` makes of each of `keys`, which ascend strictly.
    pub(in crate::index) fn merge(&mut self, keys: &[&[u8]], make: &mut Make<'_, V>) {
        self.appending = false;
        if keys.is_empty() {
            return;
        }
        let mut right = Node::merge(&mut self.root, Part { keys, first: 0 }, make);
        while !right.nodes.is_empty() {
            let separators: Vec<Parts<'_>> = right.keys.iter().map(|key| [&key[..], &[]]).collect();
            let mut children = vec![Child::of(Arc::clone(&self.root))];
            children.append(&mut right.nodes);
            let (root, above) = level(children, &separators, true);
            self.root = Arc::new(Node::Inner(root));
            right = above;
        }
    }
}

impl<V: Clone> Node<V> {
    fn merge(this: &mut Arc<Self>, part: Part<'_>, make: &mut Make<'_, V>) -> Siblings<V> {
        match Arc::make_mut(this) {
            Self::Leaf(leaf) => leaf.merge(part, make),
            Self::Inner(inner) => inner.merge(part, make),
        }
    }
}

impl<V: Clone> Inner<V> {
    fn merge(&mut self, part: Part<'_>, make: &mut Make<'_, V>) -> Siblings<V> {
        let mut grown = Vec::new();
        let mut from = 0;
        while from < part.keys.len() {
            let i = self.child_of(part.keys[from]);
            let to = if i < self.keys.len() {
                from + part.run_before(from, &self.keys.to_vec(i))
            } else {
                part.keys.len()
            };
            let child = &mut self.children[i];
            let right = Node::merge(&mut child.node, part.part(from..to), make);
            child.counts = child.node.counts();
            if !right.nodes.is_empty() {
                grown.push((i, right));
            }
            from = to;
        }
        let Some((first_grown, _)) = grown.first() else {
            return Siblings::NONE;
        };
        let full = first_grown + 1 == self.children.len();
        let (keys, nodes): (Vec<_>, Vec<_>) = grown
            .into_iter()
            .map(|(i, right)| ((i, right.keys), (i, right.nodes)))
            .unzip();
        let (mut keys, mut nodes) = (keys.iter().peekable(), nodes.into_iter().peekable());
        let (mut separators, mut children) = (Vec::new(), Vec::new());
        for (i, child) in std::mem::take(&mut self.children).into_iter().enumerate() {
            if i > 0 {
                separators.push(self.keys.parts(i - 1));
            }
            children.push(child);
            if let Some((_, keys)) = keys.next_if(|(at, _)| *at == i) {
                separators.extend(keys.iter().map(|key| [&key[..], &[]]));
            }
            if let Some((_, nodes)) = nodes.next_if(|(at, _)| *at == i) {
                children.extend(nodes);
            }
        }
        let (inner, right) = level(children, &separators, full);
        *self = inner;
        right
    }
}

impl<V: Clone> Leaf<V> {
    fn merge(&mut self, part: Part<'_>, make: &mut Make<'_, V>) -> Siblings<V> {
        let mut fresh: Vec<Fresh<'_, V>> = Vec::new();
        for (key, number) in part.keys.iter().zip(part.first..) {
            match self.keys.search(key) {
                Ok(i) => {
                    let was = (&self.values[i], self.live >> i & 1 == 1);
                    let (value, live) = make(number, Some(was));
                    self.replace(i, value, live);
                }
                Err(at) => {
                    let (value, live) = make(number, None);
                    fresh.push(Fresh {
                        at,
                        key,
                        value,
                        live,
                    });
                }
            }
        }
        if fresh.is_empty() {
            return Siblings::NONE;
        }
        let bytes: usize = fresh.iter().map(|f| f.key.len()).sum();
        if fresh.len() <= ONE_BY_ONE
            && self.values.len() + fresh.len() <= MAX_ENTRIES
            && self.keys.heap_bytes() + bytes <= MAX_KEY_BYTES / 2
        {
            // From the end, so that places stay what they are.
            for f in fresh.into_iter().rev() {
                self.insert(f.at, f.key, f.value, f.live);
            }
            return Siblings::NONE;
        }
        self.rebuild(fresh)
    }

    /// Writes the leaf anew with some more keys, which ascend.
    fn rebuild(&mut self, fresh: Vec<Fresh<'_, V>>) -> Siblings<V> {
        let full = fresh.first().is_some_and(|f| f.at == self.values.len());
        let old_keys = std::mem::take(&mut self.keys);
        let old_values = std::mem::take(&mut self.values);
        let count = old_values.len() + fresh.len();
        let mut keys: Vec<Parts<'_>> = Vec::with_capacity(count);
        let mut entries: Vec<(V, bool)> = Vec::with_capacity(count);
        let mut fresh = fresh.into_iter().peekable();
        for (i, value) in old_values.into_iter().enumerate() {
            while let Some(f) = fresh.next_if(|f| f.at == i) {
                keys.push([f.key, &[]]);
                entries.push((f.value, f.live));
            }
            keys.push(old_keys.parts(i));
            entries.push((value, self.live >> i & 1 == 1));
        }
        for f in fresh {
            keys.push([f.key, &[]]);
            entries.push((f.value, f.live));
        }
        let ranges = cut(count, MAX_ENTRIES, full, |i| {
            keys[i][0].len() + keys[i][1].len()
        });
        let mut entries = entries.into_iter();
        let mut leaves = ranges.into_iter().map(|range| {
            let mut leaf = Self {
                keys: Keys::of(range.clone(), |i| keys[i]),
                values: Vec::with_capacity(range.len()),
                live: 0,
            };
            for (bit, (value, live)) in entries.by_ref().take(range.len()).enumerate() {
                leaf.values.push(value);
                leaf.live |= u128::from(live) << bit;
            }
            (range.start, leaf)
        });
        let (_, first) = leaves.next().expect("a leaf with new keys is not empty");
        let mut right = Siblings::NONE;
        for (start, leaf) in leaves {
            right.keys.push(separator(keys[start - 1], keys[start]));
            right.nodes.push(Child::of(Arc::new(Node::Leaf(leaf))));
        }
        *self = first;
        right
    }
}
