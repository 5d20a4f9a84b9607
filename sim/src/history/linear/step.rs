//! What an operation asks of one key, and what it makes of it.

use std::collections::HashMap;

use bytes::Bytes;

use super::super::Effects;
use super::super::operation::{Call, Operation, Outcome, Seen, Span, Stamp, Stored, Write};

/// What a key holds, with values numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The value, or 0 if the key is absent.
    value: u32,
    /// When it was put, or 0 as long as nobody was told.
    mod_revision: i64,
    version: i64,
    /// The newest revision of the key that is known: a later change has a larger one.
    floor: i64,
    /// The revision of the last change that stands in a row, see [`Step::after`].
    changed: i64,
    lease: i64,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// The key is there, or not.
    Present(bool),
    /// It was last changed then, or is absent (0).
    Changed(i64),
    /// Exactly this: number of the value, revision, version, lease.
    Is(u32, i64, i64, i64),
    /// It hangs on this lease.
    Leased(i64),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Stay,
    Value { number: u32, lease: i64 },
    Absent,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its place in the history; `None` if it is no client's.
    pub(super) operation: Option<usize>,
    pub(super) invoked: Stamp,
    /// `None`: it may happen at any later time, or never.
    pub(super) completed: Option<Stamp>,
    need: Need,
    turn: Turn,
    /// The revision it made, or 0 if that is not known or it made none.
    revision: i64,
    /// The revision of the change before it, where the ledger tells all of them: no other order needs to
    /// be tried.
    after: Option<i64>,
}

impl Step {
    /// The state after it, if it can happen in this one.
    pub(super) fn apply(&self, state: State) -> Option<State> {
        let mut next = state;
        match self.need {
            Need::Nothing => {}
            Need::Present(present) => {
                if present != (state.value != 0) {
                    return None;
                }
            }
            Need::Changed(revision) => next = state.learn(revision)?,
            Need::Is(value, revision, version, lease) => {
                next = state.learn(revision)?;
                if (value, version, lease) != (state.value, state.version, state.lease) {
                    return None;
                }
            }
            Need::Leased(lease) => {
                if state.value == 0 || state.lease != lease {
                    return None;
                }
            }
        }
        if self.revision != 0 {
            if self.revision <= next.floor || self.after.is_some_and(|a| a != state.changed) {
                return None;
            }
            next.floor = self.revision;
            if self.after.is_some() {
                next.changed = self.revision;
            }
        }
        match self.turn {
            Turn::Stay => {}
            Turn::Value { number, lease } => {
                next.value = number;
                next.lease = lease;
                next.version += 1;
                next.mod_revision = self.revision;
            }
            Turn::Absent => {
                next = State {
                    floor: next.floor,
                    changed: next.changed,
                    ..State::default()
                }
            }
        }
        Some(next)
    }
}

impl State {
    /// The state, with the revision of its last change told.
    fn learn(mut self, revision: i64) -> Option<Self> {
        if (self.value == 0) != (revision == 0) {
            return None;
        }
        if self.value == 0 || self.mod_revision == revision {
            return Some(self);
        }
        if self.mod_revision != 0 || revision <= self.floor {
            return None;
        }
        self.mod_revision = revision;
        self.floor = revision;
        Some(self)
    }
}

/// The steps on one key.
#[derive(Debug, Default)]
pub(super) struct Steps {
    list: Vec<Step>,
    numbers: HashMap<Bytes, u32>,
    values: Vec<Bytes>,
}

impl Steps {
    pub(super) fn list(&self) -> &[Step] {
        &self.list
    }

    fn number(&mut self, value: &Bytes) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        self.values.push(value.clone());
        let number = u32::try_from(self.values.len()).expect("fewer values than memory holds");
        self.numbers.insert(value.clone(), number);
        number
    }

    /// A state in words.
    pub(super) fn describe(&self, state: State) -> String {
        let value = usize::try_from(state.value).unwrap_or_default();
        match value.checked_sub(1).and_then(|at| self.values.get(at)) {
            None => "absent".to_owned(),
            Some(value) => format!(
                "{} (changed {}, version {})",
                super::super::operation::Text(value),
                state.mod_revision,
                state.version
            ),
        }
    }

    /// Adds what an operation is on this key. If `effects` are at hand, an operation without an
    /// answer that made no revision never happened.
    pub(super) fn add(
        &mut self,
        number: usize,
        operation: &Operation,
        key: &Bytes,
        effects: Option<&Effects>,
    ) {
        let (sure, revision) = match (&operation.outcome, effects) {
            (Outcome::Failed, _) => return,
            (Outcome::Ok(answer), _) if operation.changed() => (true, answer.revision),
            (Outcome::Ok(_), _) => (true, 0),
            (Outcome::Unknown, _) if operation.call.writes().is_empty() => return,
            (Outcome::Unknown, None) => (false, 0),
            (Outcome::Unknown, Some(effects)) => match effects.of(number) {
                Some(revision) => (false, revision),
                None => return,
            },
        };
        let seen = operation.answer().map(|answer| &answer.seen);
        let (need, turn) = match (&operation.call, seen) {
            (_, Some(Seen::Pairs(found) | Seen::Else(found))) => {
                let stored = found.iter().find(|stored| stored.key == *key);
                (self.exactly(stored), Turn::Stay)
            }
            (Call::Txn { compare, then }, _) => {
                let compared = compare.iter().find(|(compared, _)| compared == key);
                let need = compared.map_or(Need::Nothing, |&(_, revision)| Need::Changed(revision));
                (need, self.turn(then, key))
            }
            (Call::Write(write @ Write::Delete(Span::Key(_))), Some(Seen::Deleted(count))) => {
                let turn = self.turn(std::slice::from_ref(write), key);
                (Need::Present(*count > 0), turn)
            }
            (Call::Write(write), _) => (Need::Nothing, self.turn(std::slice::from_ref(write), key)),
            (Call::Range { .. }, _) => return,
        };
        // A change that did not concern this key after all, of several that may have been removed.
        let revision = if turn == Turn::Stay { 0 } else { revision };
        self.list.push(Step {
            operation: Some(number),
            invoked: operation.invoked,
            completed: sure.then_some(operation.completed),
            need,
            turn,
            revision,
            after: None,
        });
    }

    /// All changes are there, with their revisions: they can only be in that order. (The end of a lease
    /// need not concern this key.)
    pub(super) fn chain(&mut self) {
        let known = |step: &&mut Step| step.revision != 0 && step.operation.is_some();
        let mut changes: Vec<&mut Step> = self.list.iter_mut().filter(known).collect();
        changes.sort_by_key(|step| step.revision);
        let mut before = 0;
        for step in changes {
            step.after = Some(before);
            before = step.revision;
        }
    }

    /// The end of a lease that made a revision.
    pub(super) fn expire(&mut self, lease: i64, revision: i64) {
        let hangs =
            |step: &&Step| matches!(step.turn, Turn::Value { lease: own, .. } if own == lease);
        let Some(first) = self
            .list
            .iter()
            .filter(hangs)
            .map(|step| step.invoked)
            .min()
        else {
            return;
        };
        self.list.push(Step {
            operation: None,
            invoked: first,
            completed: None,
            need: Need::Leased(lease),
            turn: Turn::Absent,
            revision,
            after: None,
        });
    }

    fn exactly(&mut self, stored: Option<&Stored>) -> Need {
        match stored {
            None => Need::Present(false),
            Some(stored) => Need::Is(
                self.number(&stored.value),
                stored.mod_revision,
                stored.version,
                stored.lease,
            ),
        }
    }

    fn turn(&mut self, writes: &[Write], at: &Bytes) -> Turn {
        match writes.iter().find(|write| write.touches(at)) {
            None => Turn::Stay,
            Some(Write::Delete(_)) => Turn::Absent,
            Some(Write::Put { value, lease, .. }) => Turn::Value {
                number: self.number(value),
                lease: *lease,
            },
        }
    }
}

/// Keys that an operation names or has seen, besides those it writes.
pub(super) fn named(operation: &Operation) -> Vec<&Bytes> {
    let mut keys = Vec::new();
    match &operation.call {
        Call::Range {
            span: Span::Key(key),
            ..
        } => keys.push(key),
        Call::Txn { compare, .. } => keys.extend(compare.iter().map(|(key, _)| key)),
        Call::Range { .. } | Call::Write(_) => {}
    }
    if let Some(Seen::Pairs(found) | Seen::Else(found)) =
        operation.answer().map(|answer| &answer.seen)
    {
        keys.extend(found.iter().map(|stored| &stored.key));
    }
    keys
}

/// Whether an operation is a step on a key.
pub(super) fn concerns(operation: &Operation, key: &Bytes) -> bool {
    if operation.call.is_stale() {
        return false;
    }
    match &operation.call {
        Call::Write(write) => write.touches(key),
        Call::Range { span, .. } => span.contains(key),
        Call::Txn { compare, then } => {
            let compared = compare.iter().any(|(compared, _)| compared == key);
            let written = then.iter().any(|write| write.touches(key));
            match operation.answer().map(|answer| &answer.seen) {
                Some(Seen::Else(_)) => compared,
                _ => compared || written,
            }
        }
    }
}
