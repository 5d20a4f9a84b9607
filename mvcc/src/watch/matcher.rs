//! Who wants a key: exact keys in a hash map, ranges in [`Intervals`].
//!
//! Used under the hub's lock for synced watchers, and by a catch-up step for those it serves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;

use super::intervals::{End, Intervals};

/// The keys of one watcher.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Key(Bytes),
    Range(Bytes, End),
}

impl Target {
    /// The keys named by a request; `None` when there can be none.
    pub(super) fn of(key: &Bytes, end: &Bytes) -> Option<Self> {
        match &end[..] {
            [] => Some(Self::Key(key.clone())),
            [0] => Some(Self::Range(key.clone(), End::Open)),
            _ if end <= key => None,
            _ => Some(Self::Range(key.clone(), End::Before(end.clone()))),
        }
    }
}

/// Members by the keys they want.
#[derive(Debug)]
pub(super) struct Matcher<M> {
    /// Looked up, never walked: its order is not fixed.
    keys: HashMap<Bytes, Vec<M>>,
    ranges: Intervals<M>,
}

impl<M: PartialEq> Matcher<M> {
    pub(super) fn new() -> Self {
        Self {
            keys: HashMap::new(),
            ranges: Intervals::new(),
        }
    }

    pub(super) fn insert(&mut self, target: &Target, member: M) {
        match target {
            Target::Key(key) => self.keys.entry(key.clone()).or_default().push(member),
            Target::Range(start, end) => self.ranges.insert(start, end.clone(), member),
        }
    }

    pub(super) fn remove(&mut self, target: &Target, member: &M) {
        match target {
            Target::Range(start, end) => self.ranges.remove(start, end, member),
            Target::Key(key) => {
                let Entry::Occupied(mut members) = self.keys.entry(key.clone()) else {
                    return;
                };
                members.get_mut().retain(|m| m != member);
                if members.get().is_empty() {
                    members.remove();
                }
            }
        }
    }

    /// Calls `f` with everyone who wants `key`.
    pub(super) fn matching(&self, key: &[u8], f: &mut dyn FnMut(&M)) {
        if let Some(members) = self.keys.get(key) {
            members.iter().for_each(&mut *f);
        }
        self.ranges.stab(key, f);
    }
}
