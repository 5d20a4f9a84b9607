use proptest::prelude::*;
use prost::Message as _;
use varve_proto::walpb;

use super::*;

/// prost is the oracle of what a record says.
fn check(bytes: &[u8]) {
    let ours = record(bytes);
    match (walpb::Record::decode(bytes), &ours) {
        (Ok(theirs), Ok(ours)) => {
            assert_eq!(theirs.r#type, ours.kind);
            assert_eq!(theirs.crc, ours.crc);
            assert_eq!(theirs.data.as_deref(), ours.data.clone().map(|r| &bytes[r]));
        }
        // prost also skips groups and caps a key at 32 bits; we refuse the one and allow the other.
        (Ok(_), Err(Flaw::Invalid("wire type"))) | (Err(_), _) => {}
        (Ok(theirs), Err(flaw)) => panic!("{bytes:x?}: {theirs:?} but {flaw:?}"),
    }
}

#[test]
fn a_record_reads_as_it_was_written() {
    for data in [None, Some(&b""[..]), Some(&[7; 300])] {
        let record = walpb::Record {
            r#type: 2,
            crc: 0xfedc_ba98,
            data: data.map(|d| d.to_vec().into()),
        };
        check(&record.encode_to_vec());
    }
}

#[test]
fn cutting_a_record_short_is_truncated_or_a_shorter_record_never_invalid() {
    let whole = walpb::Record {
        r#type: 2,
        crc: 0xfedc_ba98,
        data: Some(vec![9; 40].into()),
    };
    let bytes = whole.encode_to_vec();
    for len in 0..bytes.len() {
        match record(&bytes[..len]) {
            Ok(shorter) => assert_eq!(shorter.data, None, "cut between fields at {len}"),
            Err(flaw) => assert_eq!(flaw, Flaw::Truncated, "{len}"),
        }
    }
}

#[test]
fn a_leading_record_ends_where_its_data_ends() {
    let entry = walpb::Record {
        r#type: 2,
        crc: 5,
        data: Some(vec![9; 40].into()),
    };
    let crc = walpb::Record {
        r#type: 4,
        crc: 5,
        data: None,
    };
    for record in [entry, crc] {
        let mut bytes = record.encode_to_vec();
        let len = bytes.len();
        bytes.extend([0, 0, 0x1a, 7, 7]);
        let (parsed, found) = leading_record(&bytes).unwrap();
        assert_eq!((found, parsed.crc), (len, 5));
        assert_eq!(leading_record(&bytes[..len - 1]), Err(Flaw::Truncated));
    }
}

proptest! {
    #[test]
    fn any_bytes_parse_as_prost_parses_them(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        check(&bytes);
    }

    #[test]
    fn a_damaged_record_parses_as_prost_parses_it(
        data in proptest::collection::vec(any::<u8>(), 0..20),
        crc: u32,
        at in any::<proptest::sample::Index>(),
        mask in 1..=255u8,
    ) {
        let mut bytes = walpb::Record { r#type: 2, crc, data: Some(data.into()) }.encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        check(&bytes);
    }
}
