use super::*;

#[test]
fn a_name_round_trips() {
    for (sequence, index) in [(0, 0), (1, 0x2a), (u64::MAX, 1), (17, u64::MAX)] {
        let name = SegmentName { sequence, index };
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
    }
    assert_eq!(
        SegmentName {
            sequence: 1,
            index: 0x2a
        }
        .to_string(),
        "0000000000000001-000000000000002a.wal"
    );
}

#[test]
fn anything_else_is_not_a_segment() {
    for name in [
        "",
        "0.tmp",
        ".wal",
        "0-0.wal",
        "0000000000000000-0000000000000000.wal.broken",
        "0000000000000000-0000000000000000",
        "000000000000000g-0000000000000000.wal",
        "+000000000000000-0000000000000000.wal",
        "0000000000000000_0000000000000000.wal",
        "00000000000000000-0000000000000000.wal",
        "\u{e9}00000000000000-0000000000000000.wal",
    ] {
        assert_eq!(SegmentName::parse(name), None, "{name}");
    }
}
