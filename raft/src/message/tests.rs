use varve_proto::raftpb::{Entry, Message, MessageType, Snapshot};

use super::{
    LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, check_incoming, is_local_message, is_local_target,
    is_response_message, kind_of, snapshot_of,
};
use crate::error::Error;
use crate::ids::NodeId;

/// What no peer may send.
const LOCAL: [MessageType; 10] = [
    MessageType::MsgHup,
    MessageType::MsgBeat,
    MessageType::MsgUnreachable,
    MessageType::MsgSnapStatus,
    MessageType::MsgCheckQuorum,
    MessageType::MsgStorageAppend,
    MessageType::MsgStorageAppendResp,
    MessageType::MsgStorageApply,
    MessageType::MsgStorageApplyResp,
    MessageType::MsgForgetLeader,
];

fn kinds() -> impl Iterator<Item = MessageType> {
    (0..64).filter_map(|kind| MessageType::try_from(kind).ok())
}

#[test]
fn kinds_are_local_responses_or_from_peers() {
    assert_eq!(kinds().count(), 24);
    for kind in kinds() {
        assert_eq!(is_local_message(kind), LOCAL.contains(&kind), "{kind:?}");
        let answers = kind.as_str_name().ends_with("Resp") || kind == MessageType::MsgUnreachable;
        assert_eq!(is_response_message(kind), answers, "{kind:?}");
    }
    assert!(is_local_target(LOCAL_APPEND_THREAD) && is_local_target(LOCAL_APPLY_THREAD));
    assert!(!is_local_target(0) && !is_local_target(u64::MAX - 2));
}

#[test]
fn a_kind_of_a_later_version_is_kept_as_a_number() {
    let message = Message {
        r#type: 4711,
        ..Message::default()
    };
    assert_eq!(kind_of(&message), None);
    assert!(check_incoming(&message, NodeId::new(1).unwrap()).is_ok());
}

#[test]
fn an_empty_snapshot_is_none() {
    let mut message = Message {
        snapshot: Some(Snapshot::default()),
        ..Message::default()
    };
    assert_eq!(snapshot_of(&message), None);
    message.snapshot.as_mut().unwrap().metadata.index = 1;
    assert!(snapshot_of(&message).is_some());
}

fn refusal(change: impl FnOnce(&mut Message)) -> Option<&'static str> {
    let mut message = Message {
        r#type: MessageType::MsgApp as i32,
        from: 2,
        to: 1,
        term: 3,
        ..Message::default()
    };
    change(&mut message);
    match check_incoming(&message, NodeId::new(1).unwrap()) {
        Ok(()) => None,
        Err(Error::Malformed { what, .. }) => Some(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn positions_that_could_overflow_are_refused() {
    assert_eq!(refusal(|_| {}), None);
    let large = u64::MAX >> 1;
    let fields: [fn(&mut Message, u64); 7] = [
        |m, v| m.term = v,
        |m, v| m.log_term = v,
        |m, v| m.index = v,
        |m, v| m.commit = v,
        |m, v| m.reject_hint = v,
        |m, v| m.snapshot.get_or_insert_default().metadata.index = v,
        |m, v| m.snapshot.get_or_insert_default().metadata.term = v,
    ];
    for set in fields {
        let out_of_range = Some("a term or index is out of range");
        assert_eq!(refusal(|m| set(m, large + 1)), out_of_range);
        assert_eq!(refusal(|m| set(m, u64::MAX)), out_of_range);
        assert_ne!(refusal(|m| set(m, large)), out_of_range);
    }
}

#[test]
fn what_speaks_for_a_leader_or_candidate_says_who_and_when() {
    use MessageType as T;
    for kind in [
        T::MsgApp,
        T::MsgHeartbeat,
        T::MsgSnap,
        T::MsgVote,
        T::MsgPreVote,
        T::MsgTimeoutNow,
    ] {
        let of = |from, term| {
            refusal(|m| {
                m.r#type = kind as i32;
                m.from = from;
                m.term = term;
            })
        };
        assert_eq!(of(2, 3), None, "{kind:?}");
        assert_eq!(of(0, 3), Some("the sender cannot be right"), "{kind:?}");
        assert_eq!(of(1, 3), Some("the sender cannot be right"), "{kind:?}");
        assert_eq!(of(2, 0), Some("the term is missing"), "{kind:?}");
    }
    for kind in [
        T::MsgAppResp,
        T::MsgVoteResp,
        T::MsgPreVoteResp,
        T::MsgHeartbeatResp,
    ] {
        let without_term = refusal(|m| {
            m.r#type = kind as i32;
            m.term = 0;
        });
        assert_eq!(without_term, Some("the term is missing"), "{kind:?}");
    }
}

#[test]
fn proposals_and_reads_carry_something() {
    let entries = |kind: MessageType, count: usize| {
        refusal(|m| {
            m.r#type = kind as i32;
            m.term = 0;
            m.entries = vec![Entry::default(); count];
        })
    };
    assert!(entries(MessageType::MsgProp, 0).is_some());
    assert!(entries(MessageType::MsgProp, 1).is_none());
    assert!(entries(MessageType::MsgProp, 3).is_none());
    assert!(entries(MessageType::MsgReadIndex, 0).is_some());
    assert!(entries(MessageType::MsgReadIndex, 1).is_none());
    assert!(entries(MessageType::MsgReadIndex, 2).is_some());
}

#[test]
fn an_append_is_a_run_of_entries() {
    let gap = refusal(|m| {
        m.entries.push(Entry {
            term: 1,
            index: 2,
            ..Entry::default()
        });
    });
    assert_eq!(gap, Some("entries are not consecutive"));
    let fine = refusal(|m| {
        m.entries.push(Entry {
            term: 1,
            index: 1,
            ..Entry::default()
        });
    });
    assert_eq!(fine, None);
}

#[test]
fn a_node_acknowledges_its_own_entries_and_never_refuses_them() {
    for (from, reject, fine) in [(1, false, true), (1, true, false), (2, true, true)] {
        let what = refusal(|m| {
            m.r#type = MessageType::MsgAppResp as i32;
            m.from = from;
            m.reject = reject;
        });
        assert_eq!(what.is_none(), fine, "{from} {reject}");
    }
}
