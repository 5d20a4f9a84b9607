use super::Hex;

#[test]
fn ids_are_read_as_go_reads_them() {
    assert_eq!(Hex::parse("8e9e05c52164694d"), Some(0x8e9e_05c5_2164_694d));
    assert_eq!(Hex::parse("00FF"), Some(255));
    for bad in ["", "+1", "-1", "0x1", "1_0", "g", "10000000000000000"] {
        assert_eq!(Hex::parse(bad), None, "{bad:?}");
    }
    assert_eq!(Hex(0x0a).to_string(), "a");
}
