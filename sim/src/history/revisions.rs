//! Revisions against real time, and answers against the ledger.
//!
//! The header of every answer tells how far the store was: that much was committed before the client
//! knew. What begins later may not be told less, unless it asked for a read that may be stale.

use super::ledger::Ledger;
use super::operation::{Answer, Call, Operation, Seen, Stored, Write, pairs};
use super::settle::Effects;
use crate::check::{Checked, Property, Violation};

/// Holds revisions and answers against real time and the ledger.
pub fn check(operations: &[Operation], ledger: &Ledger, effects: &Effects) -> Checked {
    in_real_time(operations, effects)?;
    operations
        .iter()
        .enumerate()
        .try_for_each(|(number, operation)| match operation.answer() {
            Some(answer) => answered(operation, answer, effects.of(number), ledger),
            None => Ok(()),
        })
}

/// Whoever begins after an answer is told at least its revision, and a write more than that.
fn in_real_time(operations: &[Operation], effects: &Effects) -> Checked {
    let mut told: Vec<(&Operation, i64)> = operations
        .iter()
        .filter_map(|operation| Some((operation, operation.answer()?.revision)))
        .collect();
    told.sort_by_key(|(operation, _)| operation.completed);
    let mut begun: Vec<(usize, &Operation)> = operations.iter().enumerate().collect();
    begun.sort_by_key(|(_, operation)| operation.invoked);

    let mut told = told.into_iter().peekable();
    let mut newest: Option<(&Operation, i64)> = None;
    for (number, operation) in begun {
        while let Some((other, revision)) =
            told.next_if(|(other, _)| other.completed < operation.invoked)
        {
            if newest.is_none_or(|(_, newest)| revision > newest) {
                newest = Some((other, revision));
            }
        }
        let Some((before, floor)) = newest else {
            continue;
        };
        let (property, made) = match effects.of(number) {
            Some(revision) => (Property::Revisions, revision),
            None if operation.call.is_stale() => continue,
            None => match operation.answer() {
                // A write without a place in the ledger is not this one's business.
                Some(answer) if !operation.changed() => {
                    (Property::LinearizableReads, answer.revision)
                }
                _ => continue,
            },
        };
        let least = floor + i64::from(property == Property::Revisions);
        if made < least {
            let what = format!(
                "{operation}: its revision {made} is below {least}, since before it began there was: {before}"
            );
            return Err(Violation::new(property, what));
        }
    }
    Ok(())
}

/// An answer equals the store at its revision.
fn answered(operation: &Operation, answer: &Answer, made: Option<i64>, ledger: &Ledger) -> Checked {
    let revision = answer.revision;
    if revision > ledger.last() {
        let what = format!("{operation}: the store ends at revision {}", ledger.last());
        return Err(Violation::new(Property::Durability, what));
    }
    // A write saw the store as it was before its own revision.
    let seen_at = made.map_or(revision, |made| made - 1);
    let differs = |seen_at: i64, there: Vec<&Stored>| {
        let there = pairs(there);
        let what = format!("{operation}: at revision {seen_at} there is {there}");
        Err(Violation::new(Property::LinearizableReads, what))
    };
    match (&operation.call, &answer.seen) {
        (Call::Range { span, at, .. }, Seen::Pairs(found)) => {
            let seen_at = if *at == 0 { revision } else { *at };
            let there = ledger.range(span, seen_at);
            if !there.iter().copied().eq(found) {
                return differs(seen_at, there);
            }
        }
        (Call::Write(Write::Put { .. }), Seen::Put) => {}
        (Call::Write(Write::Delete(span)), Seen::Deleted(count)) => {
            let there = ledger.range(span, seen_at);
            if there.len() as u64 != *count {
                return differs(seen_at, there);
            }
        }
        (Call::Txn { compare, .. }, seen @ (Seen::Then(_) | Seen::Else(_))) => {
            let compared = |(key, _): &(bytes::Bytes, i64)| ledger.get(key, seen_at);
            let held = compare.iter().all(|compared_key| {
                compared(compared_key).map_or(0, |stored| stored.mod_revision) == compared_key.1
            });
            let there: Vec<&Stored> = compare.iter().filter_map(compared).collect();
            let right = match seen {
                Seen::Else(found) => !held && there.iter().copied().eq(found),
                _ => held,
            };
            if !right {
                return differs(seen_at, there);
            }
        }
        _ => {
            let what = format!("{operation}: that is no answer to this");
            return Err(Violation::new(Property::NoFailure, what));
        }
    }
    Ok(())
}
