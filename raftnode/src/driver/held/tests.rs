//! What is held back, what says as much, and in which order messages leave.
use super::*;

const TERM: u64 = 3;
const LIMIT: Duration = Duration::from_millis(1);

fn message(kind: MessageType, to: u64, index: u64, commit: u64) -> Message {
    Message {
        r#type: kind as i32,
        from: 1,
        to,
        term: TERM,
        log_term: TERM,
        index,
        commit,
        ..Message::default()
    }
}

fn commit(to: u64, index: u64) -> Message {
    message(MessageType::MsgApp, to, index, index)
}

fn entry(index: u64, kind: EntryType) -> Entry {
    Entry {
        term: TERM,
        index,
        r#type: kind as i32,
        data: Some("x".into()),
    }
}

/// An append of this many entries behind `index`.
fn append(to: u64, index: u64, entries: u64, commit: u64) -> Message {
    let behind = |n| entry(index + n, EntryType::EntryNormal);
    Message {
        entries: (1..=entries).map(behind).collect(),
        ..message(MessageType::MsgApp, to, index, commit)
    }
}

/// A leader with a lone entry at 7.
fn lone() -> HeldCommits {
    let mut held = HeldCommits::new(LIMIT);
    held.appended(&[entry(7, EntryType::EntryNormal)], 6);
    held
}

/// The same, and the news for member 2 is held back.
fn holding() -> HeldCommits {
    let mut held = lone();
    assert_eq!(held.pass(vec![commit(2, 7)], Duration::ZERO, |_| true), []);
    held
}

#[test]
fn what_waits_is_the_news_of_a_lone_normal_entry_for_a_member_that_replicates() {
    let passes = |held: &mut HeldCommits, message: Message, replicates: bool| {
        let leaving = held.pass(vec![message.clone()], Duration::ZERO, |_| replicates);
        leaving == [message]
    };
    assert!(!passes(&mut lone(), commit(2, 7), true));
    assert!(passes(&mut lone(), commit(2, 7), false), "it is probed");
    assert!(passes(&mut lone(), commit(2, 6), true), "something else");
    let behind = message(MessageType::MsgApp, 2, 8, 7);
    assert!(passes(&mut lone(), behind, true), "more is under way");
    assert!(passes(&mut lone(), append(2, 7, 1, 7), true));
    let mut off = HeldCommits::new(Duration::ZERO);
    off.appended(&[entry(7, EntryType::EntryNormal)], 6);
    assert!(passes(&mut off, commit(2, 7), true));
    for (entries, committed) in [
        (vec![entry(7, EntryType::EntryNormal)], 5),
        (vec![entry(7, EntryType::EntryConfChange)], 6),
        (
            (6..=7).map(|i| entry(i, EntryType::EntryNormal)).collect(),
            5,
        ),
    ] {
        let mut held = lone();
        held.appended(&entries, committed);
        assert!(passes(&mut held, commit(2, 7), true), "{entries:?}");
    }
}

#[test]
fn what_says_as_much_takes_its_place_and_all_else_leaves_behind_it() {
    let mut next_term = append(2, 7, 1, 7);
    next_term.term += 1;
    for (next, is_dropped) in [
        (append(2, 7, 1, 7), true),
        (append(2, 5, 2, 8), true),
        (commit(2, 8), true),
        (message(MessageType::MsgHeartbeat, 2, 0, 7), true),
        (message(MessageType::MsgHeartbeat, 2, 0, 6), false),
        (append(2, 5, 1, 7), false),
        (append(2, 6, 1, 6), false),
        (next_term, false),
        (message(MessageType::MsgReadIndexResp, 2, 7, 7), false),
        (message(MessageType::MsgTimeoutNow, 2, 0, 0), false),
    ] {
        let mut held = holding();
        let leaving = held.pass(vec![next.clone()], LIMIT / 2, |_| true);
        let expected = if is_dropped {
            vec![next]
        } else {
            vec![commit(2, 7), next]
        };
        assert_eq!(leaving, expected);
        assert_eq!(held.due(), None);
    }
}

#[test]
fn messages_to_others_pass_and_what_is_held_leaves_in_time() {
    let mut held = holding();
    let other = append(3, 7, 1, 7);
    let leaving = held.pass(vec![other.clone()], LIMIT / 2, |_| true);
    assert_eq!(leaving, [other]);
    assert_eq!(held.pass(vec![commit(3, 7)], LIMIT / 2, |_| true), []);
    assert_eq!(held.due(), Some(LIMIT));
    assert_eq!(held.take_due(LIMIT / 2), []);
    assert_eq!(held.take_due(LIMIT), [commit(2, 7)]);
    assert_eq!(held.due(), Some(LIMIT * 3 / 2));
    assert_eq!(held.take_due(Duration::MAX), [commit(3, 7)]);
    assert_eq!(held.due(), None);
}

#[test]
fn who_passed_a_proposal_on_is_told_at_once_until_it_knows_of_all() {
    let mut held = lone();
    held.passed_on(2);
    let behind = message(MessageType::MsgApp, 2, 7, 6);
    assert_eq!(
        held.pass(vec![behind.clone()], Duration::ZERO, |_| true),
        [behind]
    );
    let news = vec![commit(2, 7), commit(3, 7)];
    assert_eq!(held.pass(news, Duration::ZERO, |_| true), [commit(2, 7)]);
    held.appended(&[entry(8, EntryType::EntryNormal)], 7);
    assert_eq!(held.pass(vec![commit(2, 8)], Duration::ZERO, |_| true), []);
}

#[test]
fn newer_news_that_waits_in_its_place_leaves_no_later() {
    let mut held = holding();
    held.appended(&[entry(8, EntryType::EntryNormal)], 7);
    let newer = vec![commit(2, 8)];
    assert_eq!(held.pass(newer, LIMIT / 2, |_| true), []);
    assert_eq!(held.take_due(LIMIT), [commit(2, 8)]);
}

#[test]
fn who_passed_something_on_to_an_earlier_leadership_is_forgotten_with_it() {
    let mut held = lone();
    held.passed_on(2);
    assert!(!held.may_wait(&commit(2, 7)));
    held.forget_who_waits();
    assert!(held.may_wait(&commit(2, 7)));
}

/// Then the raft thread need not look after each; the first that nothing follows ends the stream.
#[test]
fn in_a_stream_of_lone_puts_the_news_waits_longer() {
    let mut held = HeldCommits::new(LIMIT);
    let mut now = Duration::ZERO;
    let mut due = |held: &mut HeldCommits, index: u64| {
        now += LIMIT / 2;
        held.appended(&[entry(index, EntryType::EntryNormal)], index - 1);
        let leaving = held.pass(vec![append(2, index - 1, 1, index - 1)], now, |_| true);
        assert_eq!(leaving.len(), 1, "the append carries what was held");
        assert_eq!(held.pass(vec![commit(2, index)], now, |_| true), []);
        held.due().unwrap().saturating_sub(now)
    };
    let waits: Vec<Duration> = (1..=20).map(|index| due(&mut held, index)).collect();
    let streams = usize::try_from(STREAM).unwrap();
    assert_eq!(waits[..streams], vec![LIMIT; streams]);
    assert_eq!(
        waits[streams + 1..],
        vec![LIMIT * IN_STREAM; 20 - streams - 1]
    );
    assert_eq!(held.take_due(Duration::MAX).len(), 1);
    assert_eq!(due(&mut held, 21), LIMIT);
}
