//! Bytes that real etcds wrote, against ours.
//!
//! The vectors are from the log of a member of etcd 3.5.1 (node 6c120a4f29d80e03 of cluster
//! 6f177e036501e606) and from the field tables of etcd's `.proto` files.

use prost::Message;
use prost::bytes::Bytes;
use varve_proto::{etcdserverpb, mvccpb, raftpb, snappb, walpb};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// `message` encodes to `bytes`, and these decode to it.
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, bytes: &str) {
    let bytes = hex(bytes);
    assert_eq!(message.encode_to_vec(), bytes, "encoding {message:?}");
    assert_eq!(
        &M::decode(&bytes[..]).unwrap(),
        message,
        "decoding {bytes:02x?}"
    );
}

#[test]
fn records_of_a_real_log_come_out_byte_for_byte() {
    check(
        &walpb::Record {
            r#type: 4,
            crc: 0,
            data: None,
        },
        "0804 1000",
    );
    let metadata = etcdserverpb::Metadata {
        node_id: 0x6c12_0a4f_29d8_0e03,
        cluster_id: 0x6f17_7e03_6501_e606,
    };
    check(&metadata, "08839ce0cef2c982896c 1086cc87a8b6c0df8b6f");
    let record = walpb::Record {
        r#type: 1,
        crc: 0x082e_b07f,
        data: Some(metadata.encode_to_vec().into()),
    };
    check(
        &record,
        "0801 10ffe0ba41 1a14 08839ce0cef2c982896c 1086cc87a8b6c0df8b6f",
    );
    check(&walpb::Snapshot::default(), "0800 1000");
    let record = walpb::Record {
        r#type: 5,
        crc: 0xe00d_2047,
        data: Some(hex("08001000").into()),
    };
    check(&record, "0805 10c7c0b4800e 1a04 08001000");
}

#[test]
fn proto2_scalars_are_written_even_when_zero() {
    check(&raftpb::Entry::default(), "0800 1000 1800");
    check(&raftpb::HardState::default(), "0800 1000 1800");
    check(&raftpb::ConfState::default(), "2800");
    check(&raftpb::ConfChange::default(), "0800 1000 1800");
    check(&raftpb::ConfChangeSingle::default(), "0800 1000");
    check(&raftpb::ConfChangeV2::default(), "0800");
    check(&raftpb::SnapshotMetadata::default(), "0a02 2800 1000 1800");
    check(&raftpb::Snapshot::default(), "1208 0a02 2800 1000 1800");
    check(
        &raftpb::Message::default(),
        "0800 1000 1800 2000 2800 3000 4000 5000 5800 6800",
    );
    check(&etcdserverpb::Metadata::default(), "0800 1000");
    check(&snappb::Snapshot::default(), "0800");
    check(
        &etcdserverpb::Request::default(),
        "0800 1200 1a00 2200 2800 3200 3800 4800 5000 5800 6000 6800 7000 7800 800100",
    );
}

#[test]
fn optional_fields_are_written_when_set_and_only_then() {
    let request = etcdserverpb::Request {
        prev_exist: Some(false),
        refresh: Some(true),
        ..etcdserverpb::Request::default()
    };
    check(
        &request,
        "0800 1200 1a00 2200 2800 3200 3800 4000 4800 5000 5800 6000 6800 7000 7800 800100 880101",
    );
    check(
        &raftpb::Entry {
            data: Some(Bytes::new()),
            ..raftpb::Entry::default()
        },
        "0800 1000 1800 2200",
    );
    let with_state = walpb::Snapshot {
        index: 9,
        term: 2,
        conf_state: Some(raftpb::ConfState {
            voters: vec![1, 300],
            ..Default::default()
        }),
    };
    // Voters are not packed.
    check(&with_state, "0809 1002 1a07 0801 08ac02 2800");
}

#[test]
fn proto3_zeros_are_left_out_and_fields_ascend() {
    check(&mvccpb::KeyValue::default(), "");
    let kv = mvccpb::KeyValue {
        key: "foo".into(),
        create_revision: 2,
        mod_revision: 3,
        version: 2,
        value: "bar".into(),
        lease: -1,
    };
    check(
        &kv,
        "0a03666f6f 1002 1803 2002 2a03626172 30ffffffffffffffffff01",
    );
    // The header's number is above the first requests' and below the others'.
    let request = etcdserverpb::InternalRaftRequest {
        header: Some(etcdserverpb::RequestHeader {
            id: 1,
            ..Default::default()
        }),
        put: Some(etcdserverpb::PutRequest::default()),
        auth_enable: Some(etcdserverpb::AuthEnableRequest {}),
        ..Default::default()
    };
    check(&request, "2200 a206020801 c23e00");
}

#[test]
fn an_event_embeds_the_stored_record() {
    let kv = mvccpb::KeyValue {
        key: "k".into(),
        mod_revision: 5,
        ..Default::default()
    };
    let event = mvccpb::Event {
        r#type: mvccpb::event::EventType::Delete.into(),
        kv: Some(kv),
        prev_kv: None,
    };
    check(&event, "0801 1205 0a016b 1805");
}

/// Readers tell a bare v2 request from a wrapped request by the parse error of the latter.
#[test]
fn a_v2_request_is_no_internal_raft_request() {
    for method in ["PUT", "POST", "DELETE", "GET", "QGET", "SYNC", "HEAD"] {
        let request = etcdserverpb::Request {
            id: 0x1234_5678_9abc,
            method: method.to_owned(),
            path: "/0/members/8e9e05c52164694d/attributes".to_owned(),
            val: "{\"name\":\"n1\"}".to_owned(),
            ..etcdserverpb::Request::default()
        };
        let bytes = request.encode_to_vec();
        let wrapped = etcdserverpb::InternalRaftRequest::decode(&bytes[..]);
        assert!(wrapped.is_err(), "{method} parsed as {wrapped:?}");
        assert_eq!(etcdserverpb::Request::decode(&bytes[..]).unwrap(), request);
    }
}
