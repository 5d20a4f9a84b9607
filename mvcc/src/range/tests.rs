use super::*;

#[test]
fn a_prefix_ends_where_its_last_byte_can_grow() {
    assert_eq!(prefix_end(b"foo"), Bytes::from_static(b"fop"));
    assert_eq!(prefix_end(b"a\xff\xff"), Bytes::from_static(b"b"));
    assert_eq!(prefix_end(b"\xff\xff"), Bytes::from_static(b"\0"));
    assert_eq!(prefix_end(b""), Bytes::from_static(b"\0"));
}
