use super::*;

#[test]
fn a_fault_is_where_the_fields_end_or_in_the_data() {
    let sound = [0x08, 0x81, 0x02, 0x12, 0x03, 1, 2, 3];
    assert_eq!(fault_offset(&sound), 5);
    assert_eq!(
        fault_offset(&sound[..7]),
        3,
        "the length leads out of the file"
    );
    assert_eq!(fault_offset(&sound[..2]), 0);
    assert_eq!(fault_offset(&sound[3..]), 2);
    assert_eq!(fault_offset(b""), 0);
    assert_eq!(fault_offset(b"#!/bin/sh"), 0);
    for len in 0..16 {
        fault_offset(&vec![0xff; len]);
        fault_offset(&[vec![0x12], vec![0xff; len]].concat());
    }
}
