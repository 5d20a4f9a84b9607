use bytes::Bytes;
use proptest::prelude::*;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata,
};

use super::{
    AppendDecoder, AppendEncoder, DecodeError, Frame, MessageDecoder, Output, encode_heartbeat,
    encode_message, wire,
};

const LOCAL: u64 = 0x8e9e_05c5_2164_694d;
const REMOTE: u64 = 0xfd42_2379_fda5_0e48;

fn bytes_of(mut out: Output) -> Vec<u8> {
    let len = out.len();
    let mut bytes = Vec::new();
    while let Some(piece) = out.pop() {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len(), len, "an output knows its length");
    bytes
}

fn entry(term: u64, index: u64, data: &[u8]) -> Entry {
    Entry {
        r#type: EntryType::EntryNormal.into(),
        term,
        index,
        data: Some(Bytes::copy_from_slice(data)),
    }
}

fn app(term: u64, log_term: u64, index: u64, commit: u64, entries: Vec<Entry>) -> Message {
    Message {
        r#type: MessageType::MsgApp.into(),
        to: REMOTE,
        from: LOCAL,
        term,
        log_term,
        index,
        commit,
        entries,
        ..Message::default()
    }
}

/// The appendix's example: what follows what on an append stream.
fn appends() -> Vec<Message> {
    vec![
        app(2, 2, 10, 10, vec![entry(2, 11, b"a")]),
        app(2, 2, 11, 11, vec![entry(2, 12, b"b"), entry(2, 13, b"")]),
        app(2, 2, 13, 13, vec![]),
        app(3, 2, 13, 13, vec![entry(3, 14, &[b'v'; 10_000])]),
        app(3, 3, 14, 14, vec![entry(3, 15, b"c")]),
    ]
}

fn encode_appends(messages: &[Message]) -> Vec<u8> {
    let mut encoder = AppendEncoder::default();
    let mut out = Output::default();
    for message in messages {
        encoder.encode(message, &mut out);
        AppendEncoder::encode_heartbeat(&mut out);
    }
    bytes_of(out)
}

fn encode_messages(messages: &[Message]) -> Vec<u8> {
    let mut out = Output::default();
    for m in messages {
        encode_message(m, &mut out);
        encode_heartbeat(&mut out);
    }
    bytes_of(out)
}

/// Decodes pieces as they would arrive; heartbeats are left out.
fn decode(
    pieces: impl Iterator<Item = Bytes>,
    push_next: &mut dyn FnMut(Option<Bytes>) -> Result<Option<Frame>, DecodeError>,
) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::new();
    for piece in pieces {
        let mut frame = push_next(Some(piece))?;
        while let Some(found) = frame {
            if let Frame::Message(message) = found {
                messages.push(*message);
            }
            frame = push_next(None)?;
        }
    }
    Ok(messages)
}

fn decode_appends(bytes: &[u8], piece: usize) -> Result<Vec<Message>, DecodeError> {
    let mut decoder = AppendDecoder::new(REMOTE, LOCAL);
    decode(
        bytes.chunks(piece).map(Bytes::copy_from_slice),
        &mut |piece| {
            if let Some(piece) = piece {
                decoder.push(piece);
            }
            decoder.decode()
        },
    )
}

fn decode_messages(bytes: &[u8], piece: usize) -> Result<Vec<Message>, DecodeError> {
    let mut decoder = MessageDecoder::default();
    decode(
        bytes.chunks(piece).map(Bytes::copy_from_slice),
        &mut |piece| {
            if let Some(piece) = piece {
                decoder.push(piece);
            }
            decoder.decode()
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let data = prop_oneof![
        Just(None),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|v| Some(Bytes::from(v))),
        (7_000..9_500_usize).prop_map(|n| Some(Bytes::from(vec![7; n]))),
    ];
    let entry = (0..3_i32, any::<u64>(), any::<u64>(), data.clone()).prop_map(
        |(r#type, term, index, data)| Entry {
            r#type,
            term,
            index,
            data,
        },
    );
    let snapshot = proptest::option::of((any::<u64>(), any::<u64>(), data.clone())).prop_map(|s| {
        s.map(|(index, term, data)| Snapshot {
            data,
            metadata: SnapshotMetadata {
                conf_state: ConfState {
                    voters: vec![1, u64::MAX],
                    ..ConfState::default()
                },
                index,
                term,
            },
        })
    });
    (
        0..24_i32,
        proptest::collection::vec(any::<u64>(), 8),
        proptest::collection::vec(entry, 0..4),
        snapshot,
        any::<bool>(),
        data,
    )
        .prop_map(|(r#type, n, entries, snapshot, reject, context)| Message {
            r#type,
            to: n[0],
            from: n[1],
            term: n[2],
            log_term: n[3],
            index: n[4],
            commit: n[5],
            reject_hint: n[6],
            vote: n[7],
            entries,
            snapshot,
            reject,
            context,
            responses: vec![],
        })
}

proptest! {
    #[test]
    fn our_encoding_is_prosts(message in any_message()) {
        let mut out = Output::default();
        wire::put_message(&message, &mut out);
        prop_assert_eq!(bytes_of(out), message.encode_to_vec());
    }

    #[test]
    fn messages_come_back_from_any_pieces(
        messages in proptest::collection::vec(any_message(), 0..5),
        piece in 1..5_000_usize,
    ) {
        let bytes = encode_messages(&messages);
        prop_assert_eq!(decode_messages(&bytes, piece).unwrap(), messages);
    }

    /// Appends that follow on each other or not, in one term or several.
    #[test]
    fn appends_come_back_from_any_pieces(
        steps in proptest::collection::vec((0..3_u64, 0..4_u64, 0..3_u64, any::<bool>()), 1..12),
        piece in 1..200_usize,
    ) {
        let (mut term, mut index) = (1, 0);
        let mut messages = Vec::new();
        for (raise, count, back, reject) in steps {
            let log_term = term;
            term += raise;
            index -= back.min(index);
            let entries = (1..=count).map(|i| entry(term, index + i, &[1; 30])).collect();
            let mut message = app(term, log_term, index, index, entries);
            message.reject = reject && count == 2;
            index += count;
            messages.push(message);
        }
        let bytes = encode_appends(&messages);
        prop_assert_eq!(decode_appends(&bytes, piece).unwrap(), messages);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(decode_messages(&bytes, 7));
        drop(decode_appends(&bytes, 7));
        // Past the kind and a plausible length.
        for kind in [&[1_u8][..], &[2][..]] {
            let mut framed = kind.to_vec();
            framed.extend_from_slice(&3_u64.to_be_bytes());
            framed.extend_from_slice(&bytes);
            drop(decode_appends(&framed, 7));
            drop(decode_messages(&framed[1..], 7));
        }
    }
}

#[test]
fn appends_are_written_as_the_protocol_shows() {
    let messages = appends();
    let mut encoder = AppendEncoder::default();
    let encoded: Vec<Vec<u8>> = messages
        .iter()
        .map(|m| {
            let mut out = Output::default();
            encoder.encode(m, &mut out);
            bytes_of(out)
        })
        .collect();

    let in_full = |m: &Message| {
        let body = m.encode_to_vec();
        [&[2_u8][..], &(body.len() as u64).to_be_bytes(), &body].concat()
    };
    assert_eq!(
        encoded[0],
        in_full(&messages[0]),
        "a first append is sent in full"
    );
    assert_eq!(
        encoded[1],
        [
            &[1, 0, 0, 0, 0, 0, 0, 0, 2][..],
            &[0, 0, 0, 0, 0, 0, 0, 9, 8, 0, 16, 2, 24, 12, 34, 1, b'b'],
            &[0, 0, 0, 0, 0, 0, 0, 8, 8, 0, 16, 2, 24, 13, 34, 0],
            &[0, 0, 0, 0, 0, 0, 0, 11],
        ]
        .concat(),
        "one that follows is its entries and the commit index"
    );
    assert_eq!(
        encoded[2],
        [&[1_u8; 1][..], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 13]].concat(),
        "which may be no entries at all"
    );
    assert_eq!(
        encoded[3],
        in_full(&messages[3]),
        "a new term is told in full"
    );
    assert_eq!(encoded[4][0], 1, "and then the stream goes on");

    let mut heartbeat = Output::default();
    AppendEncoder::encode_heartbeat(&mut heartbeat);
    assert_eq!(bytes_of(heartbeat), [0]);
}

#[test]
fn messages_are_written_as_the_protocol_shows() {
    // What etcd 3.6 writes: every scalar, also when zero.
    let mut out = Output::default();
    encode_heartbeat(&mut out);
    let body = [
        8, 8, 16, 0, 24, 0, 32, 0, 40, 0, 48, 0, 64, 0, 80, 0, 88, 0, 104, 0,
    ];
    assert_eq!(
        bytes_of(out),
        [&[0, 0, 0, 0, 0, 0, 0, 20][..], &body].concat()
    );
}

#[test]
fn heartbeats_of_every_release_are_known() {
    let of_3_7 = [0, 0, 0, 0, 0, 0, 0, 2, 8, 8];
    // 3.4 and 3.5: no vote, but a snapshot with its metadata and configuration.
    let body = [
        8, 8, 16, 0, 24, 0, 32, 0, 40, 0, 48, 0, 64, 0, 74, 10, 18, 8, 10, 2, 40, 0, 16, 0, 24, 0,
        80, 0, 88, 0,
    ];
    let of_3_5 = [&[0, 0, 0, 0, 0, 0, 0, 30][..], &body].concat();
    for bytes in [&of_3_7[..], &of_3_5] {
        let mut decoder = MessageDecoder::default();
        decoder.push(Bytes::copy_from_slice(bytes));
        assert_eq!(decoder.decode().unwrap(), Some(Frame::Heartbeat));
        assert_eq!(decoder.decode().unwrap(), None);
    }
    // One of raft's has ids.
    let of_raft = Message {
        r#type: MessageType::MsgHeartbeat.into(),
        from: 1,
        to: 2,
        ..Message::default()
    };
    let mut out = Output::default();
    encode_message(&of_raft, &mut out);
    assert_eq!(decode_messages(&bytes_of(out), 100).unwrap(), [of_raft]);
}

#[test]
fn every_truncation_waits_for_the_rest() {
    let messages = appends();
    let (a, m) = (encode_appends(&messages), encode_messages(&messages));
    for end in 0..a.len() {
        let found = decode_appends(&a[..end], 64 << 10).unwrap();
        assert!(messages.starts_with(&found) && found.len() < messages.len() + 1);
    }
    for end in 0..m.len() {
        let found = decode_messages(&m[..end], 64 << 10).unwrap();
        assert!(messages.starts_with(&found));
    }
}

#[test]
fn every_flipped_byte_is_an_error_a_wait_or_other_messages() {
    let messages = appends();
    let (a, m) = (encode_appends(&messages), encode_messages(&messages));
    let mut errors = 0;
    for at in 0..a.len() {
        let mut bad = a.clone();
        bad[at] ^= 0xff;
        errors += usize::from(decode_appends(&bad, 64 << 10).is_err());
    }
    assert!(errors > 100, "{errors} of {} flips were seen", a.len());
    for at in 0..m.len() {
        let mut bad = m.clone();
        bad[at] ^= 0xff;
        drop(decode_messages(&bad, 64 << 10));
    }
}

#[test]
fn lengths_nobody_sends_are_refused_before_their_bytes() {
    let too_long = (512_u64 << 20) + 1;
    let error = decode_messages(&too_long.to_be_bytes(), 8).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message of 536870913 bytes at offset 0 of the stream, at most 536870912 are allowed"
    );
    let framed = |kind: u8, length: u64| [&[kind][..], &length.to_be_bytes()].concat();
    let error = decode_appends(&framed(2, u64::MAX), 9).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::TooLong {
                offset: 1,
                what: "message",
                ..
            }
        ),
        "{error}"
    );
    let error = decode_appends(&framed(1, (1 << 20) + 1), 9).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::TooLong {
                what: "frame of entries",
                ..
            }
        ),
        "{error}"
    );
    let entry = [framed(1, 1), too_long.to_be_bytes().to_vec()].concat();
    let error = decode_appends(&entry, 17).unwrap_err();
    assert!(
        matches!(error, DecodeError::TooLong { what: "entry", .. }),
        "{error}"
    );
    let error = decode_appends(&[0, 0, 3], 3).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::UnknownKind {
                offset: 2,
                found: 3
            }
        ),
        "{error}"
    );
}

#[test]
fn an_append_stream_carries_appends_only() {
    let vote = Message {
        r#type: MessageType::MsgVote.into(),
        ..Message::default()
    };
    let mut encoder = AppendEncoder::default();
    let mut out = Output::default();
    encoder.encode(&Message { term: 1, ..vote }, &mut out);
    let error = decode_appends(&bytes_of(out), 100).unwrap_err();
    assert!(
        matches!(error, DecodeError::NotAnAppend { found: 5, .. }),
        "{error}"
    );
}

#[test]
fn large_values_are_shared_not_copied() {
    let value = Bytes::from(vec![b'v'; 100_000]);
    let message = app(
        1,
        1,
        1,
        1,
        vec![Entry {
            data: Some(value.clone()),
            ..entry(1, 2, b"")
        }],
    );
    let mut out = Output::default();
    AppendEncoder::default().encode(&message, &mut out);
    let pieces: Vec<Bytes> = std::iter::from_fn(|| out.pop()).collect();
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1].as_ptr(), value.as_ptr());
    // Nor is what arrives in one piece.
    let whole: Bytes = pieces.concat().into();
    let mut decoder = AppendDecoder::new(REMOTE, LOCAL);
    decoder.push(whole.clone());
    let Some(Frame::Message(found)) = decoder.decode().unwrap() else {
        panic!("no message");
    };
    let data = found.entries[0].data.clone().unwrap();
    assert!(whole.as_ptr_range().contains(&data.as_ptr()));
}
