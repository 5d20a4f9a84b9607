//! etcd's own bookkeeping, written down naively from its documentation: generations per key, the walk
//! over all keys at a compaction, the set of kept revisions behind a hash. What the store does cleverly
//! is compared with this.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use varve_mvcc::{Revision, RowKey};
use varve_proto::mvccpb::KeyValue;

#[derive(Clone, Default)]
struct Generation {
    created: i64,
    version: i64,
    revisions: Vec<Revision>,
}

/// The generations of one key; the last is empty after a tombstone.
#[derive(Clone)]
struct KeyIndex {
    generations: Vec<Generation>,
}

impl KeyIndex {
    fn put(&mut self, revision: Revision) -> (i64, i64) {
        let last = self.generations.last_mut().unwrap();
        if last.revisions.is_empty() {
            last.created = revision.main;
            last.version = 0;
        }
        last.version += 1;
        last.revisions.push(revision);
        (last.created, last.version)
    }

    fn tombstone(&mut self, revision: Revision) -> bool {
        let last = self.generations.last_mut().unwrap();
        if last.revisions.is_empty() {
            return false;
        }
        last.version += 1;
        last.revisions.push(revision);
        self.generations.push(Generation::default());
        true
    }

    fn get(&self, at: i64) -> Option<Revision> {
        for (i, generation) in self.generations.iter().enumerate().rev() {
            let Some(last) = generation.revisions.last() else {
                continue;
            };
            if i + 1 != self.generations.len() && last.main <= at {
                return None;
            }
            if generation.revisions[0].main <= at {
                let within = generation.revisions.iter().rev();
                return within.copied().find(|revision| revision.main <= at);
            }
        }
        None
    }

    /// The generation a compaction stops at, and the newest revision at or before it there.
    fn find(&self, at: i64) -> (usize, Option<usize>) {
        let mut i = 0;
        while i + 1 < self.generations.len()
            && self.generations[i].revisions.last().unwrap().main < at
        {
            i += 1;
        }
        let revisions = &self.generations[i].revisions;
        (
            i,
            revisions.iter().rposition(|revision| revision.main <= at),
        )
    }

    fn compact(&mut self, at: i64, kept: &mut BTreeSet<Revision>) {
        let (generation, newest) = self.find(at);
        if let Some(newest) = newest {
            let revisions = &mut self.generations[generation].revisions;
            kept.insert(revisions[newest]);
            revisions.drain(..newest);
        }
        self.generations.drain(..generation);
    }

    fn keep(&self, at: i64, kept: &mut BTreeSet<Revision>) {
        let (generation, newest) = self.find(at);
        let Some(newest) = newest else { return };
        let revisions = &self.generations[generation].revisions;
        let is_tombstone =
            generation + 1 != self.generations.len() && newest + 1 == revisions.len();
        if !is_tombstone {
            kept.insert(revisions[newest]);
        }
    }

    fn is_gone(&self) -> bool {
        self.generations.len() == 1 && self.generations[0].revisions.is_empty()
    }
}

/// A store as etcd keeps it.
#[derive(Clone)]
pub(crate) struct EtcdModel {
    keys: BTreeMap<Bytes, KeyIndex>,
    pub(crate) rows: BTreeMap<RowKey, Bytes>,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// Raft index.
    pub(crate) applied: u64,
    compaction_hashes: BTreeMap<i64, u32>,
}

impl EtcdModel {
    pub(crate) fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            rows: BTreeMap::new(),
            revision: 1,
            compacted: -1,
            applied: 0,
            compaction_hashes: BTreeMap::new(),
        }
    }

    pub(crate) fn put(&mut self, key: &Bytes, value: &Bytes, revision: Revision) {
        let index = self.keys.entry(key.clone()).or_insert_with(|| KeyIndex {
            generations: vec![Generation::default()],
        });
        let (create_revision, version) = index.put(revision);
        let row = KeyValue {
            key: key.clone(),
            create_revision,
            mod_revision: revision.main,
            version,
            value: value.clone(),
            lease: 0,
        };
        self.rows
            .insert(RowKey::put(revision), row.encode_to_vec().into());
    }

    /// Deletes what of `[key, end)` is there; returns how much.
    pub(crate) fn delete(
        &mut self,
        key: &Bytes,
        end: Option<&Bytes>,
        main: i64,
        sub: &mut i64,
    ) -> i64 {
        let mut deleted = 0;
        for (name, index) in self.keys.range_mut(key.clone()..) {
            if end.map_or(name != key, |end| name >= end) {
                break;
            }
            if index.tombstone(Revision::new(main, *sub)) {
                let row = KeyValue {
                    key: name.clone(),
                    ..KeyValue::default()
                };
                self.rows.insert(
                    RowKey::tombstone(Revision::new(main, *sub)),
                    row.encode_to_vec().into(),
                );
                *sub += 1;
                deleted += 1;
            }
        }
        deleted
    }

    pub(crate) fn range(&self, key: &Bytes, end: Option<&Bytes>, at: i64) -> Vec<Bytes> {
        let inside = self
            .keys
            .range(key.clone()..)
            .take_while(|(name, _)| end.map_or(*name == key, |end| *name < end));
        let found = inside.filter_map(|(_, index)| index.get(at));
        found
            .map(|revision| self.rows[&RowKey::put(revision)].clone())
            .collect()
    }

    /// The pair of `key` at `at`.
    pub(crate) fn get(&self, key: &Bytes, at: i64) -> Option<Bytes> {
        self.range(key, None, at).pop()
    }

    pub(crate) fn compact(&mut self, at: i64) {
        let previous = self.compacted;
        let mut kept = BTreeSet::new();
        for index in self.keys.values_mut() {
            index.compact(at, &mut kept);
        }
        self.keys.retain(|_, index| !index.is_gone());
        let hash = self.hash(at, previous, &kept);
        self.compaction_hashes.insert(at, hash);
        if self.compaction_hashes.len() > 10 {
            self.compaction_hashes.pop_first();
        }
        self.rows
            .retain(|row, _| row.revision.main > at || kept.contains(&row.revision));
        self.compacted = at;
    }

    fn hash(&self, at: i64, compacted: i64, kept: &BTreeSet<Revision>) -> u32 {
        let mut hash = crc32c::crc32c(b"key");
        for (row, value) in &self.rows {
            let main = row.revision.main;
            let dropped = main <= compacted && !kept.is_empty() && !kept.contains(&row.revision);
            if main > at || dropped || (main == compacted && row.tombstone) {
                continue;
            }
            hash = crc32c::crc32c_append(hash, &row.encode());
            hash = crc32c::crc32c_append(hash, value);
        }
        hash
    }

    /// `HashKV`; `None` when etcd refuses.
    pub(crate) fn hash_kv(&self, revision: i64) -> Option<u32> {
        if let Some(hash) = self.compaction_hashes.get(&revision) {
            return Some(*hash);
        }
        if (0 < revision && revision < self.compacted) || revision > self.revision {
            return None;
        }
        let at = if revision == 0 {
            self.revision
        } else {
            revision
        };
        let mut kept = BTreeSet::new();
        for index in self.keys.values() {
            index.keep(at, &mut kept);
        }
        Some(self.hash(at, self.compacted, &kept))
    }

    /// What a restart forgets.
    pub(crate) fn restart(&mut self) {
        self.compaction_hashes.clear();
    }
}
