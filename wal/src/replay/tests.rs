use proptest::prelude::*;

use super::*;

/// prost is the oracle of what bytes say.
fn check(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    assert_eq!(decode_entry(bytes.clone()), Entry::decode(bytes).ok());
}

fn encoded(kind: i32, term: u64, index: u64, data: Option<Vec<u8>>) -> Vec<u8> {
    let data = data.map(Bytes::from);
    let entry = Entry {
        r#type: kind,
        term,
        index,
        data,
    };
    entry.encode_to_vec()
}

#[test]
fn fields_left_out_repeated_or_out_of_order_are_read_as_protobuf_says() {
    for bytes in [
        &b""[..],
        // 3.7 leaves zeros out.
        b"\x10\x02\x18\x03\x22\x01a",
        b"\x18\x03\x10\x02",
        b"\x08\x01\x10\x02\x18\x03\x22\x01a\x22\x02bc",
        b"\x08\x00\x10\x02\x18\x03\x22\x02a",
        b"\x08\x00\x10\x02\x18\x03\x22\x00",
        b"\x08\x00\x10\x02\x18\x03\x2a\x00",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x02\x18\x03",
    ] {
        check(bytes.to_vec());
    }
}

proptest! {
    #[test]
    fn an_entry_decodes_as_prost_decodes_it_sound_flipped_or_cut(
        kind in -1..4i32,
        term: u64,
        index: u64,
        data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        at in any::<proptest::sample::Index>(),
        mask in 0..=255u8,
    ) {
        let mut bytes = encoded(kind, term, index, data);
        check(bytes.clone());
        let at = at.index(bytes.len());
        check(bytes[..at].to_vec());
        bytes[at] ^= mask;
        check(bytes);
    }

    #[test]
    fn any_bytes_decode_as_prost_decodes_them(bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
        check(bytes);
    }
}
