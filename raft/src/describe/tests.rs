use bytes::Bytes;
use varve_proto::raftpb::{
    ConfChangeSingle, ConfChangeV2, ConfState, Entry, HardState, Message, MessageType, Snapshot,
    SnapshotMetadata,
};

use super::{
    describe_conf_change, describe_entry, describe_message, describe_ready, describe_snapshot,
    quote,
};
use crate::read_index::ReadState;
use crate::ready::{Ready, SoftState};

fn entry(term: u64, index: u64, data: &'static [u8]) -> Entry {
    Entry {
        term,
        index,
        data: Some(Bytes::from_static(data)),
        ..Entry::default()
    }
}

#[test]
fn quoted_bytes_show_what_is_printable_and_escape_the_rest() {
    let table: [(&[u8], &str); 7] = [
        (b"", r#""""#),
        (b"foo bar", r#""foo bar""#),
        (b"say \"hi\" \\", r#""say \"hi\" \\""#),
        (b"\n\r\t\x07\x08\x0b\x0c", r#""\n\r\t\a\b\v\f""#),
        (b"\x00\x1f\x7f", r#""\x00\x1f\x7f""#),
        (b"a\xff\xc3", r#""a\xff\xc3""#),
        ("\u{e4}\u{85}".as_bytes(), "\"\u{e4}\\u0085\""),
    ];
    for (data, expected) in table {
        assert_eq!(quote(data), expected);
    }
}

#[test]
fn entries_show_their_kind_and_content() {
    assert_eq!(
        describe_entry(&entry(1, 2, b"x"), &quote),
        "1/2 EntryNormal \"x\""
    );
    let change = Entry {
        r#type: 2,
        ..entry(1, 3, b"")
    };
    assert_eq!(describe_entry(&change, &quote), "1/3 EntryConfChangeV2");
    let unknown = Entry {
        r#type: 9,
        ..entry(1, 3, b"x")
    };
    assert_eq!(describe_entry(&unknown, &quote), "1/3 9");
    let broken = Entry {
        r#type: 1,
        ..entry(1, 3, b"\xff\xff")
    };
    assert!(describe_entry(&broken, &quote).starts_with("1/3 EntryConfChange "));
}

#[test]
fn a_change_shows_unknown_kinds_as_numbers() {
    let change = ConfChangeV2 {
        transition: 7,
        changes: vec![ConfChangeSingle {
            r#type: 8,
            node_id: 9,
        }],
        context: Some(Bytes::from_static(b"c")),
    };
    assert_eq!(
        describe_conf_change(&change),
        "transition:7 changes:{type:8 node_id:9} context:\"c\""
    );
}

#[test]
fn messages_show_what_is_set() {
    let snapshot = Snapshot {
        metadata: SnapshotMetadata {
            conf_state: ConfState {
                voters: vec![1, 2],
                ..ConfState::default()
            },
            index: 5,
            term: 4,
        },
        data: None,
    };
    let message = Message {
        r#type: MessageType::MsgStorageAppend as i32,
        from: 0x1f,
        to: crate::LOCAL_APPEND_THREAD,
        term: 4,
        log_term: 3,
        index: 2,
        reject: true,
        reject_hint: 6,
        commit: 7,
        vote: 8,
        entries: vec![entry(4, 3, b"a"), entry(4, 4, b"b")],
        snapshot: Some(snapshot.clone()),
        responses: vec![Message {
            r#type: 99,
            from: 1,
            ..Message::default()
        }],
        ..Message::default()
    };
    let expected = "1f->AppendThread MsgStorageAppend Term:4 Log:3/2 Rejected (Hint: 6) Commit:7 \
                    Vote:8 Entries:[\n  4/3 EntryNormal \"a\"\n  4/4 EntryNormal \"b\"\n]\n  \
                    Snapshot: Index:5 Term:4 ConfState:Voters:[1 2] VotersOutgoing:[] Learners:[] \
                    LearnersNext:[] AutoLeave:false Responses:[\n  1->None 99 Term:0 Log:0/0\n]";
    assert_eq!(describe_message(&message, &quote), expected);
    assert!(expected.contains(&describe_snapshot(&snapshot)));
}

#[test]
fn a_ready_shows_what_there_is_to_do() {
    assert_eq!(describe_ready(&Ready::default(), &quote), "<empty Ready>");
    let ready = Ready {
        soft_state: Some(SoftState {
            lead: 1,
            role: crate::StateRole::Leader,
        }),
        hard_state: Some(HardState {
            term: 1,
            vote: 0,
            commit: 2,
        }),
        read_states: vec![ReadState {
            index: 9,
            request_ctx: Bytes::from_static(b"ab"),
        }],
        entries: vec![entry(1, 3, b"e")],
        committed_entries: vec![entry(1, 2, b"c")],
        must_sync: true,
        ..Ready::default()
    };
    assert_eq!(
        describe_ready(&ready, &quote),
        "Ready MustSync=true:\nLead:1 State:StateLeader\nHardState Term:1 Commit:2\n\
         ReadStates [{9 [97 98]}]\nEntries:\n1/3 EntryNormal \"e\"\nCommittedEntries:\n\
         1/2 EntryNormal \"c\"\n"
    );
}
