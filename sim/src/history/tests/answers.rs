//! Answers to reads and transactions.

use super::*;

#[test]
fn a_stale_read_is_seen() {
    // a2 was acknowledged before this read began.
    let mut operations = operations();
    let stale = op(
        (51, 55),
        read(key("a")),
        ok(3, Seen::Pairs(vec![stored("a", "a1", &[2])])),
    );
    operations.push(stale);
    let result = check(&operations, &ledger());
    objects(
        result,
        Property::LinearizableReads,
        &["client 51", "its revision 3 is below 4", "put a=a2"],
    );
    // Without revisions of headers, from the values alone.
    objects(
        linear::check(&operations, None),
        Property::Linearizability,
        &["a: after", "client 51"],
    );
    // Whoever asks for a read that may be stale gets one.
    operations.last_mut().unwrap().call = Call::Range {
        span: key("a"),
        serializable: true,
        at: 0,
    };
    check(&operations, &ledger()).unwrap();
}

#[test]
fn a_read_that_is_stale_after_another_read_is_seen() {
    // Nobody was told of a2 but a reader; the next one may not go back.
    let mut operations = operations();
    operations.truncate(4);
    operations[3].outcome = Outcome::Unknown;
    let seen = |revision, stored| ok(revision, Seen::Pairs(vec![stored]));
    operations.push(op(
        (50, 55),
        read(key("a")),
        seen(4, stored("a", "a2", &[2, 4])),
    ));
    operations.push(op(
        (60, 65),
        read(key("a")),
        seen(3, stored("a", "a1", &[2])),
    ));
    let whole = ledger();
    let events = whole.revisions().take(3).flat_map(|(_, e)| e.to_vec());
    let ledger = Ledger::new(events).unwrap();
    objects(
        check(&operations, &ledger),
        Property::LinearizableReads,
        &["client 60", "client 50"],
    );
    objects(
        linear::check(&operations, None),
        Property::Linearizability,
        &["client 60"],
    );
}

#[test]
fn an_answer_that_is_not_the_store_at_its_revision_is_seen() {
    let wrong = [
        // Another value, another version, another revision, nothing, too much.
        vec![stored("a", "a2", &[2])],
        vec![stored("a", "a1", &[1, 2])],
        vec![stored("a", "a1", &[3])],
        vec![],
        vec![stored("a", "a1", &[2]), stored("b", "b1", &[2])],
    ];
    for pairs in wrong {
        let mut operations = operations();
        operations[1].call = read(prefix(""));
        operations[1].outcome = ok(2, Seen::Pairs(pairs));
        let result = check(&operations, &ledger());
        objects(result, Property::LinearizableReads, &["client 20"]);
        assert!(linear::check(&operations, None).is_err());
    }
    // A read of the past, and one that may be stale, too.
    for (serializable, at) in [(false, 3), (true, 0)] {
        let mut operations = operations();
        let call = Call::Range {
            span: key("a"),
            serializable,
            at,
        };
        let answer = |pair| ok(6, Seen::Pairs(vec![pair]));
        operations.push(op((95, 96), call, answer(stored("a", "a2", &[2, 4]))));
        let result = check(&operations, &ledger());
        objects(result, Property::LinearizableReads, &["client 95"]);
    }
}

#[test]
fn a_revision_that_the_store_never_reached_is_seen() {
    let mut operations = operations();
    let last = operations.last_mut().unwrap();
    last.outcome = ok(9, Seen::Pairs(vec![stored("a", "a3", &[2, 4, 5])]));
    let result = check(&operations, &ledger());
    objects(result, Property::Durability, &["ends at revision 6"]);
}

#[test]
fn a_comparison_that_was_judged_wrong_is_seen() {
    // It held and did not; it did not hold and did.
    let mut operations = operations();
    operations[5].call = swap(("a", 5), &[("a", "a4")]);
    let result = check(&operations, &ledger());
    objects(result, Property::LinearizableReads, &["client 60"]);
    objects(
        linear::check(&super::operations()[..4], None).and_then(|()| {
            let mut operations = super::operations();
            operations[4].call = swap(("a", 2), &[("a", "a3"), ("b", "b3")]);
            linear::check(&operations, None)
        }),
        Property::Linearizability,
        &["client 50"],
    );
    let mut operations = super::operations();
    operations[4].call = swap(("a", 2), &[("a", "a3"), ("b", "b3")]);
    let result = check(&operations, &ledger());
    objects(result, Property::LinearizableReads, &["client 50"]);
}

#[test]
fn an_answer_to_another_question_is_seen() {
    let mut operations = operations();
    operations[1].outcome = ok(2, Seen::Deleted(0));
    let result = check(&operations, &ledger());
    objects(result, Property::NoFailure, &["client 20"]);
}
