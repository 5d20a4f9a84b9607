//! Linearizability of each key, by the algorithm of Wing and Gong with Lowe's cache.
//!
//! A history of several objects is linearizable if each object's is (Herlihy and Wing, 1990), so keys
//! are judged one by one. A transaction or a read over several keys becomes one step per key: a necessary
//! condition, what ties the keys together is judged by revisions. Each step asks something of the key's
//! state and leaves another; steps without an answer may be left out.
//!
//! Serializable and historical reads promise no more than a state that was: they are not looked at.

mod search;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use self::search::{Failure, search};
use self::step::{Step, Steps};
use super::operation::{Operation, Span, Write};
use super::settle::Effects;
use crate::check::{Checked, Property, Violation};

/// Steps to try per key before giving up: far above what histories with few unknown outcomes need.
const PATIENCE: u64 = 20_000_000;

/// Looks for an order of the operations on each key that explains all answers. With `effects`, what
/// the ledger tells of operations without an answer is used; that a history cannot be decided in bounded
/// time is an objection too.
pub fn check(operations: &[Operation], effects: Option<&Effects>) -> Checked {
    let mut per_key: BTreeMap<&Bytes, Steps> = BTreeMap::new();
    for key in keys(operations) {
        per_key.insert(key, Steps::default());
    }
    for (number, operation) in operations.iter().enumerate() {
        for key in concerned(operation, &per_key) {
            if let Some(steps) = per_key.get_mut(&key) {
                steps.add(number, operation, &key, effects);
            }
        }
    }
    // Who removes the keys of a lease is no client, and nobody knows when.
    for (&revision, &lease) in effects.iter().flat_map(|effects| effects.expired()) {
        for steps in per_key.values_mut() {
            steps.expire(lease, revision);
        }
    }
    if effects.is_some() {
        per_key.values_mut().for_each(Steps::chain);
    }
    per_key
        .iter()
        .try_for_each(|(key, steps)| judge(operations, key, steps))
}

fn judge(operations: &[Operation], key: &Bytes, steps: &Steps) -> Checked {
    let name = super::operation::Text(key);
    let Err(failure) = search(steps.list(), PATIENCE) else {
        return Ok(());
    };
    let what = match failure {
        Failure::Undecided => format!("{name}: not decided after {PATIENCE} steps"),
        Failure::NoOrder {
            explained,
            state,
            stuck,
        } => {
            let who: Vec<String> = stuck
                .iter()
                .map(|step: &Step| match step.operation {
                    Some(number) => operations[number].to_string(),
                    None => "the end of a lease".to_owned(),
                })
                .collect();
            format!(
                "{name}: after {explained} operations it is {}, and none of these can be next: {}",
                steps.describe(state),
                who.join("; ")
            )
        }
    };
    Err(Violation::new(Property::Linearizability, what))
}

/// All keys that are named or were seen.
fn keys(operations: &[Operation]) -> BTreeSet<&Bytes> {
    let mut keys = BTreeSet::new();
    for operation in operations {
        for write in operation.call.writes() {
            match write {
                Write::Put { key, .. } | Write::Delete(Span::Key(key)) => {
                    keys.insert(key);
                }
                Write::Delete(Span::Prefix(_)) => {}
            }
        }
        keys.extend(step::named(operation));
    }
    keys
}

/// The keys on which an operation is a step.
fn concerned(operation: &Operation, all: &BTreeMap<&Bytes, Steps>) -> Vec<Bytes> {
    all.keys()
        .filter(|key| step::concerns(operation, key))
        .map(|&key| key.clone())
        .collect()
}
