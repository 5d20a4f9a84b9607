//! The whole history of a store: what each of its revisions changed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::operation::{Span, Stored, Text};
use crate::check::{Property, Violation};

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It was stored.
    Put(Stored),
    /// It was removed.
    Delete {
        /// The key.
        key: Bytes,
        /// The revision that removed it.
        revision: i64,
    },
}

impl Event {
    /// The key.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put(stored) => &stored.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put(stored) => stored.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }

    /// What is stored now.
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Put(stored) => Some(stored),
            Self::Delete { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(stored) => write!(f, "put {stored}"),
            Self::Delete { key, revision } => write!(f, "delete {} at {revision}", Text(key)),
        }
    }
}

/// The revision of an empty store: etcd's first change makes 2.
const EMPTY: i64 = 1;

/// What every revision changed, from the empty store on.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    revisions: BTreeMap<i64, Vec<Event>>,
    /// Per key what is stored from a revision on.
    keys: BTreeMap<Bytes, BTreeMap<i64, Option<Stored>>>,
}

impl Ledger {
    /// Of all changes in their order. They must be those of a store that began empty: every revision
    /// there, versions counted, nothing removed that is absent, no key twice in a revision.
    pub fn new(events: impl IntoIterator<Item = Event>) -> Result<Self, Violation> {
        let mut ledger = Self::default();
        for event in events {
            ledger.push(event)?;
        }
        Ok(ledger)
    }

    /// Appends a change.
    pub fn push(&mut self, event: Event) -> Result<(), Violation> {
        let (last, revision) = (self.last(), event.revision());
        let wrong = |why: &str| {
            let what = format!("{event}, after revision {last}: {why}");
            Err(Violation::new(Property::Revisions, what))
        };
        if revision < last || revision <= EMPTY {
            return wrong("goes back");
        }
        if revision > last + 1 {
            return wrong("leaves a gap");
        }
        let same = self.revisions.entry(revision).or_default();
        if same.iter().any(|other| other.key() == event.key()) {
            return wrong("changes a key twice in a revision");
        }
        let versions = self.keys.entry(event.key().clone()).or_default();
        let before = versions.last_key_value().and_then(|(_, now)| now.as_ref());
        match (&event, before) {
            (Event::Put(stored), before) => {
                let (created, version) = before.map_or((revision, 1), |before| {
                    (before.create_revision, before.version + 1)
                });
                if (stored.create_revision, stored.version) != (created, version) {
                    return wrong(&format!("should be created {created}, version {version}"));
                }
            }
            (Event::Delete { .. }, Some(_)) => {}
            (Event::Delete { .. }, None) => return wrong("is not there"),
        }
        versions.insert(revision, event.stored().cloned());
        same.push(event);
        Ok(())
    }

    /// The last revision.
    pub fn last(&self) -> i64 {
        self.revisions
            .last_key_value()
            .map_or(EMPTY, |(&revision, _)| revision)
    }

    /// The revisions and what each changed.
    pub fn revisions(&self) -> impl Iterator<Item = (i64, &[Event])> {
        self.revisions
            .iter()
            .map(|(&revision, events)| (revision, events.as_slice()))
    }

    /// What a revision changed; nothing if there is no such revision.
    pub fn at(&self, revision: i64) -> &[Event] {
        self.revisions.get(&revision).map_or(&[], Vec::as_slice)
    }

    /// What a key held as of a revision.
    pub fn get(&self, key: &[u8], revision: i64) -> Option<&Stored> {
        let versions = self.keys.get(key)?;
        let (_, stored) = versions.range(..=revision).next_back()?;
        stored.as_ref()
    }

    /// The pairs there were as of a revision, by key.
    pub fn range(&self, span: &Span, revision: i64) -> Vec<&Stored> {
        match span {
            Span::Key(key) => self.get(key, revision).into_iter().collect(),
            Span::Prefix(prefix) => self
                .keys
                .range::<[u8], _>((Bound::Included(prefix.as_ref()), Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .filter_map(|(key, _)| self.get(key, revision))
                .collect(),
        }
    }

    /// What was stored at a key, and when, from the newest revision back.
    pub fn past(&self, key: &[u8]) -> impl Iterator<Item = (i64, Option<&Stored>)> {
        let versions = self.keys.get(key).into_iter().flatten().rev();
        versions.map(|(&revision, stored)| (revision, stored.as_ref()))
    }

    /// The keys that hang on a lease as of a revision.
    pub fn leased(&self, lease: i64, revision: i64) -> Vec<&Stored> {
        self.range(&Span::Prefix(Bytes::new()), revision)
            .into_iter()
            .filter(|stored| stored.lease == lease)
            .collect()
    }
}
