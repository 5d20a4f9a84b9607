use proptest::prelude::*;
use varve_proto::raftpb::ConfState;
use varve_proto::walpb;

use super::*;

/// The frame that prost and a checksum taken after the fact give for a record.
fn expected(kind: RecordKind, crc: u32, data: Option<Vec<u8>>) -> Vec<u8> {
    let record = walpb::Record {
        r#type: kind.number().into(),
        crc,
        data: data.map(Into::into),
    };
    let body = record.encode_to_vec();
    let len = FrameLen::of_record(body.len() as u64);
    let mut frame = len.encode().to_le_bytes().to_vec();
    frame.extend(body);
    put_padding(&mut frame, len);
    frame
}

#[test]
fn the_head_of_a_log_is_etcd_s() {
    // basic-3.5.1, member 6c120a4f29d80e03 of cluster 6f177e036501e606.
    let mut encoder = Encoder::default();
    encoder.crc_record();
    encoder.metadata(&[
        0x08, 0x83, 0x9c, 0xe0, 0xce, 0xf2, 0xc9, 0x82, 0x89, 0x6c, 0x10, 0x86, 0xcc, 0x87, 0xa8,
        0xb6, 0xc0, 0xdf, 0x8b, 0x6f,
    ]);
    encoder.snapshot(&Snapshot::default());
    let bytes = encoder
        .bytes()
        .iter()
        .fold(String::new(), |text, b| text + &format!("{b:02x}"));
    assert_eq!(
        bytes,
        "04000000000000840804100000000000\
         1d00000000000083080110ffe0ba411a1408839ce0cef2c982896c1086cc87a8b6c0df8b6f000000\
         0e00000000000082080510c7c0b4800e1a04080010000000"
    );
    assert_eq!(encoder.crc, 0xe00d_2047);
}

proptest! {
    #[test]
    fn frames_are_those_of_a_plain_encoder(
        start: u32,
        entries in proptest::collection::vec(
            (-1..3i32, any::<u64>(), any::<u64>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300))),
            0..12,
        ),
        commit: u64,
        voters in proptest::collection::vec(any::<u64>(), 0..4),
    ) {
        let mut encoder = Encoder::continuing(start);
        let mut crc = start;
        let mut plain = expected(RecordKind::Crc, crc, None);
        encoder.crc_record();
        let mut add = |kind, data: Vec<u8>| {
            crc = crc32c::crc32c_append(crc, &data);
            plain.extend(expected(kind, crc, Some(data)));
        };
        for (kind, term, index, data) in entries {
            let entry = Entry { r#type: kind, term, index, data: data.map(Into::into) };
            encoder.entry(&entry);
            add(RecordKind::Entry, entry.encode_to_vec());
        }
        let state = HardState { term: 3, vote: 1, commit };
        encoder.state(&state);
        add(RecordKind::State, state.encode_to_vec());
        let conf_state = Some(ConfState { voters, ..ConfState::default() });
        let snapshot = Snapshot { index: commit, term: 3, conf_state };
        encoder.snapshot(&snapshot);
        add(RecordKind::Snapshot, snapshot.encode_to_vec());
        encoder.metadata(b"who");
        add(RecordKind::Metadata, b"who".to_vec());
        prop_assert_eq!(encoder.bytes(), &plain);
        prop_assert_eq!(encoder.crc, crc);
    }
}
