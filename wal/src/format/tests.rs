use super::*;

#[test]
fn every_length_round_trips_and_only_its_own_padding_decodes() {
    for record_bytes in (0..200).chain([1 << 20, LENGTH_MASK]) {
        let len = FrameLen::of_record(record_bytes);
        assert_eq!(len.body_bytes() % 8, 0, "{record_bytes}");
        let field = len.encode();
        assert_eq!(FrameLen::decode(field), Some(len));
        for bit in 56..64 {
            assert_eq!(
                FrameLen::decode(field ^ 1 << bit),
                None,
                "{record_bytes} bit {bit}"
            );
        }
    }
}

#[test]
fn length_fields_are_those_of_a_log_written_by_etcd() {
    // basic-3.5.1: the crc record of 4 bytes and the metadata record of 29.
    let field = |n| FrameLen::of_record(n).encode().to_le_bytes();
    assert_eq!(field(4), [4, 0, 0, 0, 0, 0, 0, 0x84]);
    assert_eq!(field(29), [0x1d, 0, 0, 0, 0, 0, 0, 0x83]);
    assert_eq!(field(16), [16, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn numbers_and_kinds_are_one_to_one() {
    for number in -1..10 {
        let back = RecordKind::from_number(number).map(|kind| i64::from(kind.number()));
        assert_eq!(back, (1..=5).contains(&number).then_some(number));
    }
}
