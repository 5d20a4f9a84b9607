//! What decoders accept although nobody here writes it.

use prost::Message;
use prost::bytes::Bytes;
use varve_proto::{etcdserverpb, raftpb, walpb};

/// etcd 3.7 and later leave out zeros that earlier ones write.
#[test]
fn absent_required_fields_decode_as_zero() {
    assert_eq!(
        raftpb::Entry::decode(&[][..]).unwrap(),
        raftpb::Entry::default()
    );
    assert_eq!(
        raftpb::Message::decode(&[][..]).unwrap(),
        raftpb::Message::default()
    );
    assert_eq!(
        raftpb::Snapshot::decode(&[][..]).unwrap(),
        raftpb::Snapshot::default()
    );
    assert_eq!(
        walpb::Record::decode(&[][..]).unwrap(),
        walpb::Record::default()
    );
    assert_eq!(
        etcdserverpb::Request::decode(&[][..]).unwrap(),
        etcdserverpb::Request::default()
    );
    // Term and index without the type.
    let entry = raftpb::Entry::decode(&[0x10, 2, 0x18, 9][..]).unwrap();
    assert_eq!(
        entry,
        raftpb::Entry {
            r#type: 0,
            term: 2,
            index: 9,
            data: None
        }
    );
}

/// etcd 3.5 puts an empty snapshot into every message.
#[test]
fn an_empty_snapshot_is_told_from_none() {
    let message = raftpb::Message::decode(&[0x4a, 0][..]).unwrap();
    assert_eq!(message.snapshot, Some(raftpb::Snapshot::default()));
}

#[test]
fn unknown_enum_values_are_kept() {
    let entry = raftpb::Entry::decode(&[0x08, 77][..]).unwrap();
    assert_eq!(entry.r#type, 77);
    assert!(raftpb::EntryType::try_from(entry.r#type).is_err());
    let request = etcdserverpb::RangeRequest::decode(&[0x28, 9][..]).unwrap();
    assert_eq!(request.sort_order, 9);
    assert_eq!(request.encode_to_vec(), [0x28, 9]);
}

#[test]
fn unknown_fields_are_skipped_and_order_does_not_matter() {
    // Field 50 (bytes), then index before term.
    let entry = raftpb::Entry::decode(&[0x92, 3, 1, 0, 0x18, 5, 0x10, 4][..]).unwrap();
    assert_eq!((entry.term, entry.index), (4, 5));
}

#[test]
fn packed_voters_are_read_too() {
    let state = raftpb::ConfState::decode(&[0x0a, 3, 1, 0xac, 2][..]).unwrap();
    assert_eq!(state.voters, [1, 300]);
}

/// The payload of a decoded message shares the buffer it came from.
#[test]
fn bytes_fields_borrow_from_the_buffer() {
    let payload = vec![7; 4096];
    let entry = raftpb::Entry {
        data: Some(payload.into()),
        ..Default::default()
    };
    let buffer = Bytes::from(entry.encode_to_vec());
    let decoded = raftpb::Entry::decode(buffer.clone()).unwrap().data.unwrap();
    let start = buffer.len() - 4096;
    assert_eq!(decoded.as_ptr(), buffer[start..].as_ptr());
}

/// Every message survives its own encoding when bytes of it are damaged: an error or another
/// message, never a panic.
#[test]
fn damaged_messages_never_panic() {
    let put = etcdserverpb::PutRequest {
        key: "k".into(),
        value: "v".into(),
        ..Default::default()
    };
    let op = etcdserverpb::RequestOp {
        request: Some(etcdserverpb::request_op::Request::RequestPut(put)),
    };
    let request = etcdserverpb::InternalRaftRequest {
        txn: Some(etcdserverpb::TxnRequest {
            success: vec![op],
            ..Default::default()
        }),
        header: Some(etcdserverpb::RequestHeader {
            id: 7,
            ..Default::default()
        }),
        ..Default::default()
    };
    let bytes = request.encode_to_vec();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            match etcdserverpb::InternalRaftRequest::decode(&damaged[..]) {
                Ok(other) => assert_ne!(other, request, "byte {at} bit {bit} changed nothing"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0);
}
