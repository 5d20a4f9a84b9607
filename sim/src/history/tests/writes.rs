//! Writes and what is stored.

use super::*;

/// The ledger of these changes.
fn ledger_of(events: Vec<Event>) -> Ledger {
    Ledger::new(events).unwrap()
}

#[test]
fn a_lost_write_is_seen() {
    let operations = operations();
    // The last change is not there; or the store has gone on without one in the middle.
    let lost = ledger_of(ledger_events()[..5].to_vec());
    objects(
        check(&operations, &lost),
        Property::Durability,
        &["delete b: 1 deleted, revision 6", "the last is 5"],
    );
    let other = ledger_of(vec![
        put_event("a", "a1", &[2]),
        put_event("a", "a2", &[2, 3]),
    ]);
    let result = check(&operations, &other);
    objects(result, Property::Atomicity, &["put b=b1", "put a=a2"]);
}

fn ledger_events() -> Vec<Event> {
    let ledger = ledger();
    ledger.revisions().flat_map(|(_, e)| e.to_vec()).collect()
}

#[test]
fn a_write_that_took_effect_twice_is_seen() {
    let mut events = ledger_events();
    events.push(put_event("b", "b1", &[7]));
    let result = check(&operations(), &ledger_of(events.clone()));
    objects(result, Property::Provenance, &["client 30", "b=b1"]);
    // The same if nobody knows how often.
    let mut operations = operations();
    operations[2].outcome = Outcome::Unknown;
    let result = check(&operations, &ledger_of(events));
    objects(result, Property::Provenance, &["took effect at 3 already"]);
}

#[test]
fn a_value_that_nobody_wrote_is_seen() {
    let mut events = ledger_events();
    events.push(put_event("c", "c1", &[7]));
    let result = check(&operations(), &ledger_of(events));
    objects(result, Property::Provenance, &["c=c1", "nobody wrote that"]);
    let mut events = ledger_events();
    events.push(delete_event("a", 7));
    let result = check(&operations(), &ledger_of(events));
    objects(result, Property::Provenance, &["delete a at 7"]);
}

#[test]
fn a_refused_write_that_took_effect_is_seen() {
    let mut operations = operations();
    operations[3].outcome = Outcome::Failed;
    let result = check(&operations, &ledger());
    objects(result, Property::Provenance, &["refused", "a=a2"]);
    // A transaction that did not write, and did.
    let mut operations = super::operations();
    operations[4].outcome = ok(4, Seen::Else(vec![stored("a", "a2", &[2, 4])]));
    let result = check(&operations, &ledger());
    objects(result, Property::Provenance, &["that nothing was written"]);
}

#[test]
fn a_torn_transaction_is_seen() {
    let half = ledger_of(vec![
        put_event("a", "a1", &[2]),
        put_event("b", "b1", &[3]),
        put_event("a", "a2", &[2, 4]),
        put_event("a", "a3", &[2, 4, 5]),
        delete_event("b", 6),
    ]);
    let result = check(&operations(), &half);
    objects(
        result,
        Property::Atomicity,
        &["should be [put a=a3, put b=b3]"],
    );
    // In two revisions, and nobody knows what became of it.
    let split = ledger_of(vec![
        put_event("a", "a1", &[2]),
        put_event("b", "b1", &[3]),
        put_event("a", "a2", &[2, 4]),
        put_event("a", "a3", &[2, 4, 5]),
        put_event("b", "b3", &[3, 6]),
    ]);
    let mut operations = operations();
    operations.truncate(5);
    operations[4].outcome = Outcome::Unknown;
    let result = check(&operations, &split);
    objects(result, Property::Atomicity, &["revision 5 should be"]);
}

#[test]
fn a_delete_that_counts_wrong_is_seen() {
    let mut operations = operations();
    operations[6].call = delete(prefix("b"));
    operations[6].outcome = ok(6, Seen::Deleted(2));
    let result = check(&operations, &ledger());
    objects(result, Property::Atomicity, &["1 were deleted"]);
}

#[test]
fn one_revision_for_two_writes_is_seen() {
    let mut operations = operations();
    operations.push(op((91, 92), put("c", "c1"), ok(6, Seen::Put)));
    let result = check(&operations, &ledger());
    objects(result, Property::Revisions, &["delete b", "put c=c1"]);
}

#[test]
fn revisions_against_real_time_are_seen() {
    // b1 was acknowledged before a2 began, and has the larger revision.
    let swapped = ledger_of(vec![
        put_event("a", "a1", &[2]),
        put_event("a", "a2", &[2, 3]),
        put_event("b", "b1", &[4]),
    ]);
    let mut operations = operations();
    operations.truncate(4);
    operations[2].outcome = ok(4, Seen::Put);
    operations[3].outcome = ok(3, Seen::Put);
    let result = check(&operations, &swapped);
    objects(
        result,
        Property::Revisions,
        &[
            "put a=a2: done, revision 3: its revision 3 is below 5",
            "put b=b1",
        ],
    );
    // The same if the later one's answer was lost: it did not happen before it was asked for.
    operations[3].outcome = Outcome::Unknown;
    let result = check(&operations, &swapped);
    objects(result, Property::Revisions, &["put a=a2: unknown"]);
    // What was asked for in time may come late.
    operations[2].outcome = Outcome::Unknown;
    check(&operations, &swapped).unwrap();
}

#[test]
fn equal_puts_cannot_be_judged() {
    let mut operations = operations();
    operations.push(operations[0].clone());
    let result = check(&operations, &ledger());
    objects(result, Property::Provenance, &["cannot be told apart"]);
}

#[test]
fn lost_answers_to_deletes_are_assigned_to_those_asked_in_time() {
    let events = vec![
        put_event("k", "1", &[2]),
        delete_event("k", 3),
        put_event("k", "2", &[4]),
        delete_event("k", 5),
    ];
    let operations = vec![
        op((1, 2), put("k", "1"), ok(2, Seen::Put)),
        op((6, 9), delete(key("k")), Outcome::Unknown),
        op((3, 9), delete(key("k")), Outcome::Unknown),
        op((4, 5), put("k", "2"), ok(4, Seen::Put)),
    ];
    let effects = check(&operations, &ledger_of(events.clone())).unwrap();
    assert_eq!((effects.of(1), effects.of(2)), (Some(5), Some(3)));
    // A delete more than was asked for.
    let result = check(&operations[1..2], &ledger_of(events[..2].to_vec()));
    objects(result, Property::Provenance, &["k=1"]);
    let mut one = operations;
    one.remove(1);
    let result = check(&one, &ledger_of(events));
    objects(result, Property::Provenance, &["delete k at 5"]);
}

#[test]
fn lost_answers_to_deletes_of_many_keys_are_kept_for_what_only_they_can_have_done() {
    let events = vec![
        put_event("k2", "1", &[2]),
        delete_event("k2", 3),
        put_event("k1", "2", &[4]),
        put_event("k2", "3", &[5]),
        delete_event("k1", 6),
        delete_event("k2", 6),
    ];
    let operations = vec![
        op((1, 2), put("k2", "1"), ok(2, Seen::Put)),
        op((2, 9), delete(prefix("k")), Outcome::Unknown),
        op((3, 9), delete(key("k2")), Outcome::Unknown),
        op((4, 5), put("k1", "2"), ok(4, Seen::Put)),
        op((5, 6), put("k2", "3"), ok(5, Seen::Put)),
    ];
    let effects = check(&operations, &ledger_of(events)).unwrap();
    assert_eq!((effects.of(1), effects.of(2)), (Some(6), Some(3)));
}

#[test]
fn the_end_of_a_lease_removes_all_its_keys_and_no_others() {
    let leased = |key: &str, lease: i64, revision: i64| {
        let mut stored = stored(key, &format!("{key}{revision}"), &[revision]);
        stored.lease = lease;
        stored
    };
    let puts = [leased("x", 7, 2), leased("y", 7, 3), leased("z", 8, 4)];
    let operation = |stored: &Stored| {
        let at = stored.mod_revision.unsigned_abs() * 10;
        let write = Write::Put {
            key: stored.key.clone(),
            value: stored.value.clone(),
            lease: stored.lease,
        };
        let outcome = ok(stored.mod_revision, Seen::Put);
        op((at, at + 5), Call::Write(write), outcome)
    };
    let mut operations: Vec<Operation> = puts.iter().map(operation).collect();
    operations.push(op(
        (60, 61),
        read(prefix("")),
        ok(5, Seen::Pairs(vec![puts[2].clone()])),
    ));
    let mut events: Vec<Event> = puts.iter().cloned().map(Event::Put).collect();
    events.push(delete_event("x", 5));
    events.push(delete_event("y", 5));
    let effects = check(&operations, &ledger_of(events.clone())).unwrap();
    assert_eq!(effects.expired().get(&5), Some(&7));
    // One of two keys; a key of another lease besides.
    let result = check(&operations[..3], &ledger_of(events[..4].to_vec()));
    objects(result, Property::Provenance, &["delete x at 5"]);
    events.push(delete_event("z", 5));
    let result = check(&operations[..3], &ledger_of(events));
    objects(result, Property::Provenance, &["delete z at 5"]);
    // A read from after the end that still sees a key is stale.
    operations[3].outcome = ok(4, Seen::Pairs(puts.to_vec()));
    let late = op((50, 55), put("w", "w"), ok(6, Seen::Put));
    operations.push(late);
    let mut events: Vec<Event> = puts.iter().cloned().map(Event::Put).collect();
    events.push(delete_event("x", 5));
    events.push(delete_event("y", 5));
    events.push(put_event("w", "w", &[6]));
    let result = check(&operations, &ledger_of(events));
    objects(result, Property::LinearizableReads, &["put w=w"]);
}

#[test]
fn a_store_that_does_not_count_right_is_seen() {
    let bad = |events: &[Event], why: &str| {
        let result = Ledger::new(events.iter().cloned());
        objects(result, Property::Revisions, &[why]);
    };
    let a = put_event("a", "1", &[2]);
    bad(&[put_event("a", "1", &[1])], "goes back");
    bad(&[put_event("a", "1", &[3])], "leaves a gap");
    bad(&[a.clone(), a.clone()], "twice");
    bad(
        &[a.clone(), put_event("a", "2", &[3])],
        "should be created 2, version 2",
    );
    bad(
        &[a.clone(), delete_event("a", 3), delete_event("a", 4)],
        "is not there",
    );
    bad(
        &[
            a.clone(),
            delete_event("a", 3),
            put_event("a", "2", &[2, 4]),
        ],
        "should be created 4, version 1",
    );
    bad(
        &[a.clone(), put_event("b", "1", &[3]), delete_event("a", 2)],
        "goes back",
    );
}
