use bytes::Bytes;
use varve_proto::raftpb::Entry;

use super::*;

/// An append in term 4 behind an entry of this term, with entries of the term and of so many bytes.
fn append(to: u64, (log_term, index): (u64, u64), sizes: &[usize], commit: u64) -> Message {
    let entry = |(at, size): (usize, &usize)| Entry {
        term: 4,
        index: index + 1 + at as u64,
        data: Some(Bytes::from(vec![7; *size])),
        ..Entry::default()
    };
    Message {
        r#type: MessageType::MsgApp as i32,
        to,
        term: 4,
        log_term,
        index,
        entries: sizes.iter().enumerate().map(entry).collect(),
        commit,
        ..Message::default()
    }
}

fn merged(mut messages: Vec<Message>) -> Vec<Message> {
    merge_appends(&mut messages);
    messages
}

#[test]
fn appends_that_go_on_are_one_per_member() {
    let heartbeat = Message {
        r#type: MessageType::MsgHeartbeat as i32,
        to: 9,
        ..Message::default()
    };
    let messages = vec![
        append(2, (3, 10), &[], 9),
        append(3, (3, 10), &[], 9),
        heartbeat.clone(),
        append(2, (3, 10), &[5, 6], 9),
        append(3, (3, 10), &[5, 6], 9),
        append(2, (4, 12), &[7], 11),
        append(2, (4, 13), &[], 12),
    ];
    assert_eq!(
        merged(messages),
        [
            append(2, (3, 10), &[5, 6, 7], 12),
            append(3, (3, 10), &[5, 6], 9),
            heartbeat,
        ]
    );
}

#[test]
fn what_does_not_follow_stays_apart() {
    let first = append(2, (3, 10), &[5], 9);
    let other_term = Message {
        term: 5,
        ..append(2, (4, 11), &[5], 9)
    };
    let vote = Message {
        r#type: MessageType::MsgVote as i32,
        to: 2,
        ..Message::default()
    };
    for next in [
        append(2, (4, 10), &[5], 9),
        append(2, (4, 12), &[5], 9),
        append(2, (3, 11), &[5], 9),
        append(2, (4, 11), &[1 << 20], 9),
        other_term,
        append(3, (4, 11), &[5], 9),
    ] {
        let apart = vec![first.clone(), next];
        assert_eq!(merged(apart.clone()), apart);
    }
    let behind_another = vec![first.clone(), vote, append(2, (4, 11), &[5], 9)];
    assert_eq!(merged(behind_another.clone()), behind_another);
}
