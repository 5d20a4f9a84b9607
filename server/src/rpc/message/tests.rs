use varve_proto::mvccpb::KeyValue;
use varve_proto::wire::{put_len_delimited_head, put_uint64};

use super::*;

fn bytes(message: EncodedMessage) -> (Vec<u8>, usize) {
    let (head, tail) = message.into_segments().unwrap();
    let mut all = head.to_vec();
    for piece in &tail {
        all.extend_from_slice(piece);
    }
    (all, 1 + tail.len())
}

fn check(all: &[u8], message: &[u8]) {
    assert_eq!(all[0], 0);
    assert_eq!(
        all[1..5],
        u32::try_from(message.len()).unwrap().to_be_bytes()
    );
    assert_eq!(&all[5..], message);
}

#[test]
fn an_encoded_message_is_prefix_and_encoding() {
    let kv = KeyValue {
        key: "a".into(),
        value: "b".into(),
        ..KeyValue::default()
    };
    let message = EncodedMessage::encode(&kv);
    assert_eq!(message.len(), kv.encoded_len());
    let (all, pieces) = bytes(message);
    assert_eq!(pieces, 1);
    check(&all, &kv.encode_to_vec());

    let (all, _) = bytes(EncodedMessage::encode(&KeyValue::default()));
    check(&all, &[]);
}

/// Whatever the sizes, the pieces add up to what was appended, and only big ones stay apart.
#[test]
fn pieces_add_up() {
    for sizes in [
        vec![],
        vec![1],
        vec![COPY_BYTES],
        vec![COPY_BYTES, 3, COPY_BYTES, COPY_BYTES],
        vec![10, COPY_BYTES - 1, 7],
        vec![10, 2 * COPY_BYTES, 7],
    ] {
        let mut builder = MessageBuilder::with_capacity(16);
        let mut wanted = BytesMut::new();
        for (field, &size) in (1_u32..).zip(&sizes) {
            let content = Bytes::from(vec![0x5a; size]);
            put_len_delimited_head(builder.buf(), field, size);
            builder.push(content.clone());
            put_len_delimited_head(&mut wanted, field, size);
            wanted.extend_from_slice(&content);
        }
        put_uint64(builder.buf(), 9, 300);
        put_uint64(&mut wanted, 9, 300);
        let message = builder.finish();
        assert_eq!(message.len(), wanted.len());
        let (all, pieces) = bytes(message);
        check(&all, &wanted);
        let big = sizes.iter().filter(|&&size| size >= COPY_BYTES).count();
        assert!(pieces <= 2 * big + 1, "{sizes:?}: {pieces} pieces");
    }
}

#[test]
fn big_pieces_are_shared_and_not_copied() {
    let big = Bytes::from(vec![1; COPY_BYTES]);
    let mut builder = MessageBuilder::with_capacity(0);
    builder.push(big.clone());
    let (_, tail) = builder.finish().into_segments().unwrap();
    assert_eq!(tail[0].as_ptr(), big.as_ptr());
}

#[test]
fn merged_messages_are_one() {
    let mut builder = MessageBuilder::with_capacity(0);
    builder.merge(&KeyValue {
        key: "k".into(),
        ..KeyValue::default()
    });
    builder.merge(&KeyValue {
        lease: 7,
        ..KeyValue::default()
    });
    let (all, _) = bytes(builder.finish());
    check(
        &all,
        &KeyValue {
            key: "k".into(),
            lease: 7,
            ..KeyValue::default()
        }
        .encode_to_vec(),
    );
}

#[test]
fn what_is_too_long_to_send_is_refused() {
    let page = Bytes::from(vec![0; 1 << 24]);
    let mut builder = MessageBuilder::with_capacity(0);
    for _ in 0..128 {
        builder.push(page.clone());
    }
    let status = builder.finish().into_segments().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "grpc: trying to send message larger than max (2147483648 vs. 2147483647)"
    );
}

#[test]
fn a_request_that_is_none_is_an_internal_error() {
    let status = decode::<KeyValue>(Bytes::from_static(b"\x0a\x05x")).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status
            .message()
            .starts_with("grpc: error unmarshalling request: "),
        "{status}"
    );
}
