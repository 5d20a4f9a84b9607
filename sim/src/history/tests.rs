//! Histories by hand: good ones pass, and each kind of bad one is objected to for what it is.

mod answers;
mod leases;
mod watches;
mod writes;

use bytes::Bytes;

use super::{
    Answer, Batch, Call, Effects, Event, History, Ledger, Notice, Operation, Outcome, Seen, Span,
    Stored, Watch, Write, linear, revisions, settle,
};
use crate::check::{Property, Violation};

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn key(text: &str) -> Span {
    Span::Key(bytes(text))
}

pub(super) fn prefix(text: &str) -> Span {
    Span::Prefix(bytes(text))
}

/// A pair that was made at `revisions[0]` and changed at each further one.
pub(super) fn stored(key: &str, value: &str, revisions: &[i64]) -> Stored {
    Stored {
        key: bytes(key),
        value: bytes(value),
        create_revision: revisions[0],
        mod_revision: revisions[revisions.len() - 1],
        version: i64::try_from(revisions.len()).unwrap(),
        lease: 0,
    }
}

pub(super) fn put_event(key: &str, value: &str, revisions: &[i64]) -> Event {
    Event::Put(stored(key, value, revisions))
}

pub(super) fn delete_event(key: &str, revision: i64) -> Event {
    Event::Delete {
        key: bytes(key),
        revision,
    }
}

pub(super) fn put(key: &str, value: &str) -> Call {
    Call::Write(Write::Put {
        key: bytes(key),
        value: bytes(value),
        lease: 0,
    })
}

pub(super) fn delete(span: Span) -> Call {
    Call::Write(Write::Delete(span))
}

pub(super) fn read(span: Span) -> Call {
    Call::Range {
        span,
        serializable: false,
        at: 0,
    }
}

/// If the key is as of a revision, puts both.
pub(super) fn swap(compared: (&str, i64), puts: &[(&str, &str)]) -> Call {
    Call::Txn {
        compare: vec![(bytes(compared.0), compared.1)],
        then: puts
            .iter()
            .map(|(key, value)| Write::Put {
                key: bytes(key),
                value: bytes(value),
                lease: 0,
            })
            .collect(),
    }
}

pub(super) fn ok(revision: i64, seen: Seen) -> Outcome {
    Outcome::Ok(Answer { revision, seen })
}

/// One client's operation.
pub(super) fn op(when: (u64, u64), call: Call, outcome: Outcome) -> Operation {
    Operation {
        client: when.0,
        call,
        invoked: when.0,
        completed: when.1,
        outcome,
    }
}

/// The store that most of the tests are about: a=1 at 2, b=1 at 3, a=2 at 4, a and b of one transaction
/// at 5, b deleted at 6.
pub(super) fn ledger() -> Ledger {
    Ledger::new([
        put_event("a", "a1", &[2]),
        put_event("b", "b1", &[3]),
        put_event("a", "a2", &[2, 4]),
        put_event("a", "a3", &[2, 4, 5]),
        put_event("b", "b3", &[3, 5]),
        delete_event("b", 6),
    ])
    .unwrap()
}

/// The operations that made it, one after the other, with reads between.
pub(super) fn operations() -> Vec<Operation> {
    let a = |value: &str, revisions: &[i64]| stored("a", value, revisions);
    vec![
        op((10, 19), put("a", "a1"), ok(2, Seen::Put)),
        op(
            (20, 29),
            read(key("a")),
            ok(2, Seen::Pairs(vec![a("a1", &[2])])),
        ),
        op((30, 39), put("b", "b1"), ok(3, Seen::Put)),
        op((40, 49), put("a", "a2"), ok(4, Seen::Put)),
        op(
            (50, 59),
            swap(("a", 4), &[("a", "a3"), ("b", "b3")]),
            ok(5, Seen::Then(0)),
        ),
        op(
            (60, 69),
            swap(("a", 4), &[("a", "a4"), ("b", "b4")]),
            ok(5, Seen::Else(vec![a("a3", &[2, 4, 5])])),
        ),
        op((70, 79), delete(key("b")), ok(6, Seen::Deleted(1))),
        op((80, 89), delete(key("b")), ok(6, Seen::Deleted(0))),
        op(
            (90, 99),
            read(prefix("")),
            ok(6, Seen::Pairs(vec![a("a3", &[2, 4, 5])])),
        ),
    ]
}

/// A watch of everything that saw everything, in batches as the ledger's revisions.
pub(super) fn full_watch() -> Watch {
    let ledger = ledger();
    let batch = |(revision, events): (i64, &[Event])| Batch {
        revision,
        notices: events
            .iter()
            .map(|event| Notice {
                event: event.clone(),
                previous: ledger.get(event.key(), revision - 1).cloned(),
            })
            .collect(),
    };
    Watch {
        name: "everything".to_owned(),
        span: prefix(""),
        from: 1,
        with_previous: true,
        batches: ledger.revisions().map(batch).collect(),
        reached: 6,
    }
}

/// All checks of operations.
pub(super) fn check(operations: &[Operation], ledger: &Ledger) -> Result<Effects, Violation> {
    let effects = settle::check(operations, ledger)?;
    revisions::check(operations, ledger, &effects)?;
    linear::check(operations, Some(&effects))?;
    Ok(effects)
}

/// It is objected to for this reason, and the objection names these.
#[track_caller]
pub(super) fn objects<T: std::fmt::Debug>(
    result: Result<T, Violation>,
    property: Property,
    names: &[&str],
) {
    let violation = result.expect_err("it passed");
    assert_eq!(violation.property, property, "{violation}");
    for name in names {
        assert!(
            violation.what.contains(name),
            "{name} is not in: {violation}"
        );
    }
}

#[test]
fn a_good_history_passes_and_is_summed_up() {
    let history = History {
        operations: operations(),
        watches: vec![full_watch()],
        ..History::default()
    };
    let summary = history.check(&ledger()).unwrap();
    assert_eq!(
        summary.to_string(),
        "5 writes, 4 linearizable and 0 other reads, 0 unknown (0 took effect), 0 refused, \
         1 watches of 6 events, 0 leases, revision 6"
    );
}

#[test]
fn concurrent_operations_may_come_in_any_order() {
    // Everybody calls at once and is answered late: any order explains that, and revisions too.
    let mut operations = operations();
    for operation in &mut operations {
        operation.invoked = 1;
        operation.completed = 1000;
    }
    check(&operations, &ledger()).unwrap();
}

#[test]
fn answers_that_were_lost_are_settled_by_what_is_stored() {
    let mut operations = operations();
    for at in [3, 4, 6] {
        operations[at].outcome = Outcome::Unknown;
    }
    // Those that never happened disturb nobody.
    operations.push(op((5, 9), put("a", "a0"), Outcome::Unknown));
    operations.push(op((5, 9), delete(prefix("")), Outcome::Unknown));
    operations.push(op((5, 9), read(key("a")), Outcome::Unknown));
    operations.push(op((5, 9), put("a", "a00"), Outcome::Failed));
    let effects = check(&operations, &ledger()).unwrap();
    assert_eq!(
        [3, 4, 6, 9, 10].map(|at| effects.of(at)),
        [Some(4), Some(5), Some(6), None, None]
    );
    // Without the ledger an order is found too.
    linear::check(&operations, None).unwrap();
}
