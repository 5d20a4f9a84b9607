//! Whose write is whose revision: acknowledged durability, whole transactions, nothing invented.
//!
//! Every revision of the ledger must be one operation's whole effect, and every acknowledged effect must
//! be at its revision. Operations without an answer get the revision they turn out to have made, which is
//! what lets the other checkers judge them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::ledger::{Event, Ledger};
use super::operation::{Operation, Outcome, Seen, Stamp, Write};
use crate::check::{Property, Violation};

/// The revisions that operations made, by their place in the list of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    made: BTreeMap<usize, i64>,
    expired: BTreeMap<i64, i64>,
}

impl Effects {
    /// The revision that an operation made.
    pub fn of(&self, operation: usize) -> Option<i64> {
        self.made.get(&operation).copied()
    }

    /// Revisions that the end of a lease made, and the lease.
    pub fn expired(&self) -> &BTreeMap<i64, i64> {
        &self.expired
    }
}

/// Assigns the revisions, or objects.
pub fn check(operations: &[Operation], ledger: &Ledger) -> Result<Effects, Violation> {
    let mut settling = Settling::new(operations, ledger)?;
    for (revision, events) in ledger.revisions() {
        settling.settle(revision, events)?;
    }
    for (&revision, &number) in &settling.acknowledged {
        if settling.effects.of(number) != Some(revision) {
            return Err(settling.lost(revision, number));
        }
    }
    let owners = std::mem::take(&mut settling.owners);
    settling.effects.made.extend(owners);
    Ok(settling.effects)
}

struct Settling<'a> {
    operations: &'a [Operation],
    ledger: &'a Ledger,
    /// Who puts a value at a key.
    writers: BTreeMap<(&'a Bytes, &'a Bytes), usize>,
    /// Who was told a revision.
    acknowledged: BTreeMap<i64, usize>,
    /// Operations without an answer that put nothing and remove something, by when they were invoked.
    removals: Vec<usize>,
    /// Which of them may have made a revision, the oldest first.
    candidates: BTreeMap<i64, Vec<usize>>,
    /// Which made which, as far as is settled.
    owners: BTreeMap<usize, i64>,
    /// When somebody was told a revision that is not before this one: it was there then.
    known: BTreeMap<i64, Stamp>,
    effects: Effects,
}

impl<'a> Settling<'a> {
    fn new(operations: &'a [Operation], ledger: &'a Ledger) -> Result<Self, Violation> {
        let mut writers = BTreeMap::new();
        let mut acknowledged = BTreeMap::new();
        let mut removals = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            for put in operation.puts() {
                if let Some(other) = writers.insert(put, number) {
                    let other = &operations[other];
                    let what =
                        format!("two puts of one value cannot be told apart: {other}; {operation}");
                    return Err(Violation::new(Property::Provenance, what));
                }
            }
            if let (true, Some(answer)) = (operation.changed(), operation.answer()) {
                match acknowledged.entry(answer.revision) {
                    Entry::Vacant(entry) => drop(entry.insert(number)),
                    Entry::Occupied(entry) => {
                        let other = &operations[*entry.get()];
                        let what = format!("one revision for two: {other}; {operation}");
                        return Err(Violation::new(Property::Revisions, what));
                    }
                }
            }
            let removes = operation.puts().next().is_none() && !operation.call.writes().is_empty();
            if removes && operation.outcome == Outcome::Unknown {
                removals.push(number);
            }
        }
        removals.sort_by_key(|&number| operations[number].invoked);
        Ok(Self {
            operations,
            ledger,
            writers,
            acknowledged,
            removals,
            candidates: BTreeMap::new(),
            owners: BTreeMap::new(),
            known: known(operations),
            effects: Effects::default(),
        })
    }

    /// Finds whose a revision is.
    fn settle(&mut self, revision: i64, events: &[Event]) -> Result<(), Violation> {
        if let Some(&number) = self.acknowledged.get(&revision) {
            return self.assign(revision, events, number);
        }
        let put = events.iter().find_map(Event::stored);
        if let Some(put) = put {
            let Some(&number) = self.writers.get(&(&put.key, &put.value)) else {
                return Err(provenance(events, "nobody wrote that"));
            };
            let operation = &self.operations[number];
            return match operation.outcome {
                Outcome::Unknown => self.assign(revision, events, number),
                Outcome::Failed => Err(provenance(
                    events,
                    &format!("its writer was refused: {operation}"),
                )),
                Outcome::Ok(_) => Err(provenance(
                    events,
                    &format!(
                        "its writer was told another revision, or that nothing was written: {operation}"
                    ),
                )),
            };
        }
        if let Some(lease) = self.expiry(revision, events) {
            self.effects.expired.insert(revision, lease);
            return Ok(());
        }
        let fits = |&number: &usize| {
            self.was_invoked(number, revision) && same(&self.expected(revision, number), events)
        };
        let candidates = self.removals.iter().copied().filter(fits).collect();
        self.candidates.insert(revision, candidates);
        if self.find_owner(revision, &mut BTreeSet::new()) {
            Ok(())
        } else {
            Err(provenance(events, "nobody asked for that"))
        }
    }

    /// Whether an operation had been invoked when somebody was told of a revision.
    fn was_invoked(&self, number: usize, revision: i64) -> bool {
        let known = self.known.range(revision..).next();
        known.is_none_or(|(_, &at)| self.operations[number].invoked <= at)
    }

    /// Gives a revision an operation that may have made it; one that has a revision already may have made
    /// another one instead (augmenting paths, Kuhn 1955).
    fn find_owner(&mut self, revision: i64, asked: &mut BTreeSet<usize>) -> bool {
        for number in self.candidates.get(&revision).cloned().unwrap_or_default() {
            if !asked.insert(number) {
                continue;
            }
            let has = self.owners.get(&number).copied();
            if has.is_none_or(|other| self.find_owner(other, asked)) {
                self.owners.insert(number, revision);
                return true;
            }
        }
        false
    }

    /// An operation made a revision, once and wholly.
    fn assign(&mut self, revision: i64, events: &[Event], number: usize) -> Result<(), Violation> {
        let operation = &self.operations[number];
        if let Some(before) = self.effects.made.insert(number, revision) {
            let why = format!("took effect at {before} already: {operation}");
            return Err(provenance(events, &why));
        }
        let expected = self.expected(revision, number);
        if !same(&expected, events) {
            let expected: Vec<String> = expected.iter().map(Expected::to_string).collect();
            let what = format!(
                "{operation}: revision {revision} should be [{}], is {}",
                expected.join(", "),
                list(events)
            );
            return Err(Violation::new(Property::Atomicity, what));
        }
        let deletes = events.iter().filter(|event| event.stored().is_none());
        let deletes = deletes.count() as u64;
        let told = match operation.answer().map(|answer| &answer.seen) {
            Some(Seen::Deleted(count) | Seen::Then(count)) => *count,
            _ => deletes,
        };
        if told != deletes {
            let what = format!("{operation}: {deletes} were deleted: {}", list(events));
            return Err(Violation::new(Property::Atomicity, what));
        }
        Ok(())
    }

    /// What an operation does if it makes this revision, by key.
    fn expected(&self, revision: i64, number: usize) -> Vec<Expected<'a>> {
        let mut expected = Vec::new();
        for write in self.operations[number].call.writes() {
            match write {
                Write::Put { key, value, lease } => expected.push(Expected {
                    key,
                    put: Some((value, *lease)),
                }),
                Write::Delete(span) => {
                    let there = self.ledger.range(span, revision - 1);
                    expected.extend(there.into_iter().map(|stored| Expected {
                        key: &stored.key,
                        put: None,
                    }));
                }
            }
        }
        expected.sort_unstable_by_key(|expected| expected.key);
        expected
    }

    /// The lease whose keys, all of them, these deletions are.
    fn expiry(&self, revision: i64, events: &[Event]) -> Option<i64> {
        let first = self.ledger.get(events.first()?.key(), revision - 1)?;
        let lease = first.lease;
        let leased = (lease != 0).then(|| self.ledger.leased(lease, revision - 1))?;
        let all = leased.len() == events.len()
            && leased
                .iter()
                .all(|stored| events.iter().any(|event| *event.key() == stored.key));
        all.then_some(lease)
    }

    fn lost(&self, revision: i64, number: usize) -> Violation {
        let operation = &self.operations[number];
        let what = format!(
            "acknowledged and lost: {operation}; revision {revision} is {}, the last is {}",
            list(self.ledger.at(revision)),
            self.ledger.last()
        );
        Violation::new(Property::Durability, what)
    }
}

/// When each revision that was told is known to have been there: the earliest of that and later ones.
fn known(operations: &[Operation]) -> BTreeMap<i64, Stamp> {
    let mut known = BTreeMap::new();
    for operation in operations {
        if let Some(answer) = operation.answer() {
            let at = known.entry(answer.revision).or_insert(operation.completed);
            *at = operation.completed.min(*at);
        }
    }
    let mut earliest = Stamp::MAX;
    for at in known.values_mut().rev() {
        earliest = earliest.min(*at);
        *at = earliest;
    }
    known
}

/// A change that an operation would make.
struct Expected<'a> {
    key: &'a Bytes,
    put: Option<(&'a Bytes, i64)>,
}

impl std::fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = super::operation::Text(self.key);
        match self.put {
            Some((value, _)) => write!(f, "put {key}={}", super::operation::Text(value)),
            None => write!(f, "delete {key}"),
        }
    }
}

fn same(expected: &[Expected<'_>], events: &[Event]) -> bool {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_unstable_by_key(|event| event.key());
    expected.len() == events.len()
        && expected.iter().zip(events).all(|(expected, event)| {
            let put = event.stored().map(|stored| (&stored.value, stored.lease));
            expected.key == event.key() && expected.put == put
        })
}

fn list(events: &[Event]) -> String {
    let events: Vec<String> = events.iter().map(Event::to_string).collect();
    format!("[{}]", events.join(", "))
}

fn provenance(events: &[Event], why: &str) -> Violation {
    Violation::new(Property::Provenance, format!("{}: {why}", list(events)))
}
