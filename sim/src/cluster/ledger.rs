//! What was applied, by index: the same for every member, and the history of the store that follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_backend::{Direction, KeyRange};
use varve_mvcc::{RangeOptions, RowKey, Store, schema};
use varve_proto::mvccpb::KeyValue;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::Entry;

use crate::check::{Checked, Property, Violation};
use crate::history::{self, Event, Span, Stored};

/// Content is compared at every index that this divides.
const COMPARED: u64 = 4;

/// What an index stands for.
#[derive(Clone, Copy, Debug)]
struct AppliedAt {
    term: u64,
    entry: u64,
    revision: i64,
    content: u64,
}

/// All that was applied anywhere, and the first objection to it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    applied: BTreeMap<u64, AppliedAt>,
    /// What the revisions changed.
    pub(super) history: history::Ledger,
    /// What is stored after the last index.
    now: BTreeMap<Bytes, Stored>,
    violation: Option<Violation>,
}

/// Shared by the witnesses of all members.
pub(super) type SharedLedger = Arc<Mutex<Ledger>>;

impl Ledger {
    /// The last index, 0 for none.
    pub(super) fn last(&self) -> u64 {
        self.applied.last_key_value().map_or(0, |(index, _)| *index)
    }

    /// What is stored after the last index.
    pub(super) fn now(&self) -> &BTreeMap<Bytes, Stored> {
        &self.now
    }

    /// The objection, if there was one.
    pub(super) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    /// Takes note of an objection.
    pub(super) fn object(&mut self, checked: Checked) {
        if let Err(violation) = checked {
            self.violation.get_or_insert(violation);
        }
    }

    /// A member has applied an entry. `is_new`: its database did not contain it before.
    pub(super) fn applied(&mut self, id: u64, entry: &Entry, is_new: bool, store: &Store) {
        let compared = self.compare(id, entry, is_new, store);
        self.object(compared);
    }

    fn compare(&mut self, id: u64, entry: &Entry, is_new: bool, store: &Store) -> Checked {
        let index = entry.index;
        let digest = digest_of(entry);
        let Some(known) = self.applied.get(&index).copied() else {
            return self.extend(id, entry, digest, is_new, store);
        };
        let differs = |what: &str| {
            let what = format!("member {id} has {what} at index {index}");
            Err(Violation::new(Property::StateMachineSafety, what))
        };
        if (known.term, known.entry) != (entry.term, digest) {
            return differs("another entry");
        }
        if !is_new {
            return Ok(());
        }
        let revision = store.revision();
        if known.revision != revision {
            return differs(&format!("revision {revision}, not {},", known.revision));
        }
        if index.is_multiple_of(COMPARED) && content_digest(&content(store)?) != known.content {
            return differs("another content");
        }
        Ok(())
    }

    /// The first member to apply this index.
    fn extend(
        &mut self,
        id: u64,
        entry: &Entry,
        digest: u64,
        is_new: bool,
        store: &Store,
    ) -> Checked {
        let (index, last) = (entry.index, self.last());
        if !is_new || index != last + 1 {
            let what = format!("member {id} applies index {index}, nobody has any after {last}");
            return Err(Violation::new(Property::StateMachineSafety, what));
        }
        let revision = store.revision();
        let content = content(store)?;
        if revision != self.history.last() {
            for event in changes(store, revision)? {
                self.history.push(event)?;
            }
            if revision != self.history.last() {
                let what = format!("revision {revision} at index {index} changed nothing");
                return Err(Violation::new(Property::Revisions, what));
            }
        }
        let rows = self.history.range(&Span::Prefix(Bytes::new()), revision);
        if index.is_multiple_of(COMPARED) && !rows.into_iter().eq(content.values()) {
            let what = format!("the rows up to revision {revision} make another content");
            return Err(Violation::new(Property::Revisions, what));
        }
        let applied = AppliedAt {
            term: entry.term,
            entry: digest,
            revision,
            content: if index.is_multiple_of(COMPARED) {
                content_digest(&content)
            } else {
                0
            },
        };
        self.now = content;
        self.applied.insert(index, applied);
        Ok(())
    }

    /// A database that says it contains `index` must contain what that index stands for.
    pub(super) fn contains(&self, id: u64, index: u64, store: &Store, whence: &str) -> Checked {
        let Some(known) = self.applied.get(&index) else {
            // A new member's, or one that is ahead of what anybody applied.
            return if index == 0 && store.revision() == 1 {
                Ok(())
            } else {
                let what = format!(
                    "member {id}: the database {whence} is at index {index}, which nobody applied"
                );
                Err(Violation::new(Property::StateMachineSafety, what))
            };
        };
        let revision = store.revision();
        let same = known.revision == revision
            && (!index.is_multiple_of(COMPARED)
                || content_digest(&content(store)?) == known.content);
        if same {
            return Ok(());
        }
        let what = format!(
            "member {id}: the database {whence} says index {index} and is at revision {revision}; that \
             index stands for revision {}",
            known.revision
        );
        Err(Violation::new(Property::Atomicity, what))
    }
}

/// Everything that is stored now.
pub(super) fn content(store: &Store) -> Result<BTreeMap<Bytes, Stored>, Violation> {
    let unreadable = |what: String| Violation::new(Property::NoFailure, what);
    let all = RangeOptions {
        key: Bytes::from_static(b"\0"),
        end: Bytes::from_static(b"\0"),
        ..RangeOptions::default()
    };
    let found = store
        .read()
        .range(&all)
        .map_err(|e| unreadable(e.to_string()))?;
    found
        .kvs
        .into_iter()
        .map(|kv| {
            let stored = stored(KeyValue::decode(kv).map_err(|e| unreadable(e.to_string()))?);
            Ok((stored.key.clone(), stored))
        })
        .collect()
}

/// A pair as histories have it.
pub(super) fn stored(kv: KeyValue) -> Stored {
    Stored {
        key: kv.key,
        value: kv.value,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

/// What a revision changed, in order: its rows.
fn changes(store: &Store, revision: i64) -> Result<Vec<Event>, Violation> {
    let unreadable = |what: String| Violation::new(Property::NoFailure, what);
    let bound = |revision: i64| Bytes::copy_from_slice(&revision.to_be_bytes());
    let rows = KeyRange::range(bound(revision), bound(revision + 1));
    let view = store.backend().view();
    let mut scan = view
        .scan(schema::KEY, &rows, Direction::Forward)
        .map_err(|e| unreadable(e.to_string()))?;
    let mut events = Vec::new();
    while let Some((key, value)) = scan.next().map_err(|e| unreadable(e.to_string()))? {
        let row = RowKey::decode(&key).map_err(|e| unreadable(e.to_string()))?;
        let stored = stored(KeyValue::decode(value).map_err(|e| unreadable(e.to_string()))?);
        events.push(if row.tombstone {
            Event::Delete {
                key: stored.key,
                revision,
            }
        } else {
            Event::Put(stored)
        });
    }
    Ok(events)
}

fn digest_of(entry: &Entry) -> u64 {
    let data = entry.data.as_deref().unwrap_or_default();
    u64::from(crc32c::crc32c(data)) << 32
        | u64::from(entry.r#type.cast_unsigned()) << 24 ^ data.len() as u64
}

fn content_digest(content: &BTreeMap<Bytes, Stored>) -> u64 {
    let mut digest = content.len() as u64;
    for stored in content.values() {
        for bytes in [&stored.key, &stored.value] {
            digest = digest.rotate_left(7) ^ u64::from(crc32c::crc32c(bytes));
        }
        for number in [
            stored.create_revision,
            stored.mod_revision,
            stored.version,
            stored.lease,
        ] {
            digest = (digest.rotate_left(5) ^ number.cast_unsigned())
                .wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
    digest
}
