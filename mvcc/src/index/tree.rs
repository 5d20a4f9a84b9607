//! A B+tree of byte keys whose nodes are copied when shared, so that a clone of the root is a snapshot.
//!
//! Changed on the apply thread under the writer's lock; clones are read on any thread without one.
//! Used by `index` alone, which decides what a value is and whether it is live.
//!
//! # Invariants
//!
//! 1. All leaves are at one depth; an inner node has one key fewer than children, and key `i` is at
//!    most every key under child `i + 1` and greater than every key under child `i`.
//! 2. Counts stored beside a child are those of its subtree.
//! 3. No node but an empty root is empty.
//!
//! `tests.rs` checks all three after every step of a random history, against a `BTreeMap`.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::keys::{Keys, Parts, common_parts_len, make_room};

mod merge;
mod remove;
#[cfg(test)]
mod tests;

/// Entries of a leaf, at most. A change copies one node per level, so small nodes make cheap writes and
/// large ones make less overhead per key; 64 measured best.
const MAX_ENTRIES: usize = 64;
/// Entries a leaf that grows makes room for at once.
const ROOM_ENTRIES: usize = 8;
/// Children of an inner node, at most. Copying an inner node touches the reference count of every child,
/// each a cache line somewhere: that, not the bytes, is what a copied path costs.
const MAX_CHILDREN: usize = 16;
/// A node with more key bytes than this splits early, so that long keys do not make long copies.
const MAX_KEY_BYTES: usize = 16 << 10;

const _: () = assert!(
    MAX_ENTRIES < 128,
    "live bits are a u128, one spare before a split"
);

/// Number of entries in a subtree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// All entries.
    pub keys: usize,
    /// Entries marked live.
    pub live: usize,
}

/// The tree. Cloning takes a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Tree<V> {
    root: Arc<Node<V>>,
    /// The newest key came behind all others: the next one probably does.
    appending: bool,
}

/// More levels than a tree of half-full nodes can have in any memory.
const MAX_DEPTH: usize = 24;

/// Where a key is or belongs, for a change that follows at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Child taken on each level.
    children: [u8; MAX_DEPTH],
    depth: usize,
    /// Position in the leaf: of the key, or of where it would be inserted.
    at: Result<usize, usize>,
    /// The key is behind all others.
    last: bool,
}

impl Place {
    const ROOT: Self = Self {
        children: [0; MAX_DEPTH],
        depth: 0,
        at: Err(0),
        last: true,
    };

    /// Goes down to child `i`.
    fn step<'t, V>(&mut self, inner: &'t Inner<V>, i: usize) -> &'t Node<V> {
        self.children[self.depth] = u8::try_from(i).expect("an inner node has few children");
        self.depth += 1;
        self.last &= i + 1 == inner.children.len();
        &inner.children[i].node
    }
}

#[derive(Clone, Debug)]
enum Node<V> {
    Leaf(Leaf<V>),
    Inner(Inner<V>),
}

#[derive(Clone, Debug)]
struct Leaf<V> {
    keys: Keys,
    values: Vec<V>,
    /// Bit `i` says whether entry `i` is live.
    live: u128,
}

#[derive(Clone, Debug)]
struct Inner<V> {
    /// Key `i` separates child `i` from child `i + 1`.
    keys: Keys,
    children: Vec<Child<V>>,
}

#[derive(Clone, Debug)]
struct Child<V> {
    node: Arc<Node<V>>,
    counts: Counts,
}

struct Split<V> {
    separator: Vec<u8>,
    right: Node<V>,
}

/// What an insertion did to a subtree.
struct Inserted<V> {
    /// A key that was not there before.
    key: bool,
    /// Whether the entry was live before, and whether it is now.
    live: (bool, bool),
    split: Option<Split<V>>,
}

/// A key as it lies in a leaf: two parts to be read one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyParts<'a> {
    prefix: &'a [u8],
    suffix: &'a [u8],
}

impl KeyParts<'_> {
    pub(crate) fn to_vec(self) -> Vec<u8> {
        [self.prefix, self.suffix].concat()
    }
}

/// Keys from `start`, to `end` exclusive or to the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    pub start: &'a [u8],
    pub end: Option<&'a [u8]>,
}

/// The shortest key that parts a leaf's last key from the next one's first: it makes searches short.
fn separator(last: Parts<'_>, next: Parts<'_>) -> Vec<u8> {
    let mut key = next.concat();
    key.truncate(common_parts_len(last, next) + 1);
    key
}

fn low_bits(n: usize) -> u128 {
    u128::MAX
        .checked_shr(128 - u32::try_from(n).expect("at most 128"))
        .unwrap_or(0)
}

impl<V: Clone> Tree<V> {
    pub(super) fn new() -> Self {
        Self {
            root: Arc::new(Node::Leaf(Leaf {
                keys: Keys::default(),
                values: Vec::new(),
                live: 0,
            })),
            appending: false,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.root.counts()
    }

    /// The value of `key` and whether it is live.
    pub(super) fn get(&self, key: &[u8]) -> Option<(&V, bool)> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[inner.child_of(key)].node,
                Node::Leaf(leaf) => {
                    let i = leaf.keys.search(key).ok()?;
                    return Some((&leaf.values[i], leaf.live >> i & 1 == 1));
                }
            }
        }
    }

    /// Looks for `key` in order to change it: its place, and what is there.
    pub(super) fn find(&mut self, key: &[u8]) -> (Place, Option<(&V, bool)>) {
        if self.appending {
            if let Some(place) = self.place_behind_all(key) {
                return (place, None);
            }
            self.appending = false;
        }
        let mut place = Place::ROOT;
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(inner) => node = place.step(inner, inner.child_of(key)),
                Node::Leaf(leaf) => {
                    place.at = leaf.keys.search(key);
                    place.last &= place.at == Err(leaf.values.len());
                    let found = place.at.ok();
                    return (
                        place,
                        found.map(|i| (&leaf.values[i], leaf.live >> i & 1 == 1)),
                    );
                }
            }
        }
    }

    /// The place behind the last key, if `key` belongs there: one comparison instead of a search.
    fn place_behind_all(&self, key: &[u8]) -> Option<Place> {
        let mut place = Place::ROOT;
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(inner) => node = place.step(inner, inner.children.len() - 1),
                Node::Leaf(leaf) => {
                    place.at = Err(leaf.values.len());
                    return leaf.keys.is_behind_last(key).then_some(place);
                }
            }
        }
    }

    /// Inserts `key`, or replaces what it had, at the place that [`find`](Self::find) found; the tree has
    /// not changed since.
    pub(super) fn insert_at(&mut self, place: &Place, key: &[u8], value: V, live: bool) {
        self.appending = place.last;
        let inserted = Node::insert(&mut self.root, place, 0, key, value, live);
        let Some(split) = inserted.split else {
            return;
        };
        let left = Child::of(Arc::clone(&self.root));
        let mut keys = Keys::default();
        keys.insert(0, &split.separator);
        self.root = Arc::new(Node::Inner(Inner {
            keys,
            children: vec![left, Child::of(Arc::new(split.right))],
        }));
    }

    /// Removes `key` if it is there.
    pub(super) fn remove(&mut self, key: &[u8]) {
        if self.get(key).is_none() {
            return;
        }
        Node::remove(&mut self.root, key);
        while let Node::Inner(inner) = &*self.root
            && let [only] = &inner.children[..]
        {
            self.root = Arc::clone(&only.node);
        }
    }

    /// Number of live entries within `bounds`: the depth of the tree, not the length of the range.
    pub(super) fn count_live(&self, bounds: Bounds<'_>) -> usize {
        if bounds.end.is_some_and(|end| end <= bounds.start) {
            return 0;
        }
        self.root.count_live(Some(bounds.start), bounds.end)
    }

    /// Calls `f` with every entry within `bounds` in order, until it breaks.
    pub(super) fn visit<'t>(
        &'t self,
        bounds: Bounds<'_>,
        f: &mut dyn FnMut(KeyParts<'t>, &'t V, bool) -> ControlFlow<()>,
    ) {
        if bounds.end.is_some_and(|end| end <= bounds.start) {
            return;
        }
        let _stopped: ControlFlow<()> = self.root.visit(Some(bounds.start), bounds.end, f);
    }

    /// Memory behind the tree itself, in bytes, values' own allocations excluded.
    pub(super) fn heap_bytes(&self) -> usize {
        self.root.heap_bytes()
    }
}

impl<V> Child<V> {
    fn of(node: Arc<Node<V>>) -> Self {
        let counts = node.counts();
        Self { node, counts }
    }
}

impl Counts {
    fn add<V>(&mut self, inserted: &Inserted<V>) {
        let (was, is) = inserted.live;
        self.keys += usize::from(inserted.key);
        self.live = self.live + usize::from(is) - usize::from(was);
    }
}

impl<V> Leaf<V> {
    /// Replaces entry `i`; returns whether it was live.
    fn replace(&mut self, i: usize, value: V, live: bool) -> bool {
        let was_live = self.live >> i & 1 == 1;
        self.values[i] = value;
        self.live = self.live & !(1 << i) | u128::from(live) << i;
        was_live
    }

    fn insert(&mut self, i: usize, key: &[u8], value: V, live: bool) {
        self.keys.insert(i, key);
        make_room(&mut self.values, 1, ROOM_ENTRIES);
        self.values.insert(i, value);
        let low = low_bits(i);
        self.live = self.live & low | (self.live & !low) << 1 | u128::from(live) << i;
    }

    fn range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> (usize, usize) {
        let at = |key| self.keys.search(key).unwrap_or_else(|i| i);
        (start.map_or(0, at), end.map_or(self.values.len(), at))
    }
}

impl<V> Inner<V> {
    /// The child that would hold `key`.
    fn child_of(&self, key: &[u8]) -> usize {
        match self.keys.search(key) {
            Ok(i) => i + 1,
            Err(i) => i,
        }
    }

    /// First and last child that may hold keys of the range.
    fn range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> (usize, usize) {
        let first = start.map_or(0, |key| self.child_of(key));
        // A child whose first possible key is `end` holds nothing of the range.
        let last = end.map_or(self.children.len() - 1, |key| {
            self.keys.search(key).unwrap_or_else(|i| i)
        });
        (first, last)
    }
}

impl<V> Node<V> {
    fn counts(&self) -> Counts {
        match self {
            Self::Leaf(leaf) => Counts {
                keys: leaf.values.len(),
                live: leaf.live.count_ones() as usize,
            },
            Self::Inner(inner) => {
                let mut sum = Counts::default();
                for child in &inner.children {
                    sum.keys += child.counts.keys;
                    sum.live += child.counts.live;
                }
                sum
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.values.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    fn key_bytes(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.keys.heap_bytes(),
            Self::Inner(inner) => inner.keys.heap_bytes(),
        }
    }

    /// Entries or children, at most. One below a quarter of it tries to join a neighbour, and two are
    /// joined only when a quarter stays free to grow.
    fn max_len(&self) -> usize {
        match self {
            Self::Leaf(_) => MAX_ENTRIES,
            Self::Inner(_) => MAX_CHILDREN,
        }
    }

    fn is_too_big(&self) -> bool {
        self.len() > self.max_len() || (self.len() > 4 && self.key_bytes() > MAX_KEY_BYTES)
    }

    fn count_live(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> usize {
        match self {
            Self::Leaf(leaf) => {
                let (first, after) = leaf.range(start, end);
                let bits = leaf.live & low_bits(after) & !low_bits(first);
                bits.count_ones() as usize
            }
            Self::Inner(inner) => {
                let (first, last) = inner.range(start, end);
                let mut sum = 0;
                for i in first..=last {
                    let child = &inner.children[i];
                    let start = start.filter(|_| i == first);
                    let end = end.filter(|_| i == last);
                    sum += if start.is_none() && end.is_none() {
                        child.counts.live
                    } else {
                        child.node.count_live(start, end)
                    };
                }
                sum
            }
        }
    }

    fn visit<'t>(
        &'t self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        f: &mut dyn FnMut(KeyParts<'t>, &'t V, bool) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Self::Leaf(leaf) => {
                let (first, after) = leaf.range(start, end);
                let prefix = leaf.keys.prefix();
                for i in first..after {
                    let suffix = leaf.keys.suffix(i);
                    let key = KeyParts { prefix, suffix };
                    f(key, &leaf.values[i], leaf.live >> i & 1 == 1)?;
                }
            }
            Self::Inner(inner) => {
                let (first, last) = inner.range(start, end);
                for i in first..=last {
                    let start = start.filter(|_| i == first);
                    let end = end.filter(|_| i == last);
                    inner.children[i].node.visit(start, end, f)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn heap_bytes(&self) -> usize {
        // Two reference counts stand before the node.
        let own = size_of::<Self>() + 2 * size_of::<usize>() + self.key_bytes();
        own + match self {
            Self::Leaf(leaf) => leaf.values.capacity() * size_of::<V>(),
            Self::Inner(inner) => {
                let below: usize = inner.children.iter().map(|c| c.node.heap_bytes()).sum();
                below + inner.children.capacity() * size_of::<Child<V>>()
            }
        }
    }
}

impl<V: Clone> Node<V> {
    /// Inserts or replaces at a place, from `level` on.
    fn insert(
        this: &mut Arc<Self>,
        place: &Place,
        level: usize,
        key: &[u8],
        value: V,
        live: bool,
    ) -> Inserted<V> {
        let node = Arc::make_mut(this);
        let (at, mut inserted) = match node {
            Self::Leaf(leaf) => match place.at {
                Ok(i) => {
                    let was_live = leaf.replace(i, value, live);
                    return Inserted {
                        key: false,
                        live: (was_live, live),
                        split: None,
                    };
                }
                Err(i) => {
                    leaf.insert(i, key, value, live);
                    let inserted = Inserted {
                        key: true,
                        live: (false, live),
                        split: None,
                    };
                    (i, inserted)
                }
            },
            Self::Inner(inner) => {
                let i = usize::from(place.children[level]);
                let child = &mut inner.children[i];
                let mut inserted =
                    Self::insert(&mut child.node, place, level + 1, key, value, live);
                let Some(split) = inserted.split.take() else {
                    child.counts.add(&inserted);
                    return inserted;
                };
                child.counts = child.node.counts();
                inner.keys.insert(i, &split.separator);
                inner
                    .children
                    .insert(i + 1, Child::of(Arc::new(split.right)));
                (i + 1, inserted)
            }
        };
        if node.is_too_big() {
            // Keys that only grow fill their nodes: the old one stays full, the new one starts empty.
            let len = node.len();
            let at_the_end = at + 1 == len && len > node.max_len();
            inserted.split = Some(node.split(if at_the_end { len - 2 } else { len / 2 }));
        }
        inserted
    }

    /// Cuts the node before entry `at`.
    fn split(&mut self, at: usize) -> Split<V> {
        match self {
            Self::Leaf(leaf) => {
                let keys = leaf.keys.split_off(at);
                let values = leaf.values.split_off(at);
                leaf.values.shrink_to_fit();
                let live = leaf.live >> at;
                leaf.live &= low_bits(at);
                Split {
                    separator: separator(leaf.keys.parts(at - 1), keys.parts(0)),
                    right: Self::Leaf(Leaf { keys, values, live }),
                }
            }
            Self::Inner(inner) => {
                let mut keys = inner.keys.split_off(at - 1);
                let separator = keys.to_vec(0);
                keys.remove(0);
                let children = inner.children.split_off(at);
                inner.children.shrink_to_fit();
                Split {
                    separator,
                    right: Self::Inner(Inner { keys, children }),
                }
            }
        }
    }
}
