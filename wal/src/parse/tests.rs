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
fn a_head_tells_where_its_record_ends_without_the_data() {
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
        let bytes = record.encode_to_vec();
        let data = record.data.map_or(0, |data| data.len());
        let found = head(&bytes).unwrap();
        assert_eq!(
            (
                found.kind,
                found.crc,
                found.record_bytes(),
                found.data_bytes
            ),
            (record.r#type, 5, bytes.len() as u64, data as u64)
        );
        let before_data = bytes.len() - data;
        assert_eq!(head(&bytes[..before_data]), Ok(found));
        assert_eq!(head(&bytes[..before_data - 1]), Err(Flaw::Truncated));
    }
    assert!(matches!(head(&[0x10, 5, 8, 2]), Err(Flaw::Invalid(_))));
    let huge = walpb::Record {
        r#type: i64::MAX,
        crc: u32::MAX,
        data: Some(vec![1].into()),
    };
    let mut bytes = huge.encode_to_vec();
    bytes.truncate(bytes.len() - 2);
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    assert!(bytes.len() <= Head::MAX_BYTES);
    assert_eq!(head(&bytes).unwrap().record_bytes(), u64::MAX);
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
