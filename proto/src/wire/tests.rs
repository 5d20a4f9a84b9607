//! What is written and read here, against prost.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::Error;
use crate::mvccpb::KeyValue;

fn written(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut buf = BytesMut::new();
    put(&mut buf);
    buf
}

fn record() -> impl Strategy<Value = KeyValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let number = || prop_oneof![Just(0), 1..200_i64, any::<i64>()];
    (bytes(), number(), number(), number(), bytes(), number()).prop_map(
        |(key, create_revision, mod_revision, version, value, lease)| KeyValue {
            key,
            create_revision,
            mod_revision,
            version,
            value,
            lease,
        },
    )
}

/// A record with every field, longer than one length byte can say.
fn sample() -> Vec<u8> {
    KeyValue {
        key: Bytes::from_static(b"foo"),
        create_revision: 7,
        mod_revision: 1 << 40,
        version: 300,
        value: Bytes::from(vec![0x61; 200]),
        lease: -2,
    }
    .encode_to_vec()
}

fn agrees_with_prost(record: &[u8]) -> Result<(), String> {
    let ours = KeyValueView::parse(record);
    let theirs = KeyValue::decode(record);
    match (&ours, &theirs) {
        (Ok(view), Ok(kv)) => {
            let same = view.key == kv.key
                && view.create_revision == kv.create_revision
                && view.mod_revision == kv.mod_revision
                && view.version == kv.version
                && view.value == kv.value
                && view.lease == kv.lease
                && &record[view.key_range()] == view.key
                && &record[view.value_range()] == view.value;
            if same {
                Ok(())
            } else {
                Err(format!("{view:?} is not {kv:?}"))
            }
        }
        (Err(_), Err(_)) => Ok(()),
        // prost skips groups nobody knows; we refuse them.
        (Err(Error::WireType { found: 3, .. }), Ok(_)) => Ok(()),
        _ => Err(format!("{ours:?} but {theirs:?}")),
    }
}

proptest! {
    #[test]
    fn varints_round_trip_in_the_size_foretold(value in prop_oneof![0..300_u64, any::<u64>()]) {
        let buf = written(|buf| put_varint(buf, value));
        prop_assert_eq!(buf.len(), varint_size(value));
        prop_assert_eq!(get_varint(&buf), Ok((value, buf.len())));
    }

    #[test]
    fn a_record_put_together_is_the_one_prost_writes(kv in record()) {
        let buf = written(|buf| {
            if !kv.key.is_empty() {
                put_len_delimited(buf, 1, &kv.key);
            }
            put_int64(buf, 2, kv.create_revision);
            put_int64(buf, 3, kv.mod_revision);
            put_int64(buf, 4, kv.version);
            if !kv.value.is_empty() {
                put_len_delimited(buf, 5, &kv.value);
            }
            put_int64(buf, 6, kv.lease);
        });
        prop_assert_eq!(&buf[..], &kv.encode_to_vec()[..]);
        agrees_with_prost(&buf).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn arbitrary_bytes_are_read_as_prost_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        agrees_with_prost(&bytes).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn sizes_foretell_what_is_written() {
    for field in [1, 15, 16, 2047, 2048, 9900] {
        for length in [0, 1, 127, 128, 20_000] {
            let content = vec![1; length];
            let whole = written(|buf| put_len_delimited(buf, field, &content));
            assert_eq!(whole.len(), len_delimited_size(field, length));
            let head = written(|buf| put_len_delimited_head(buf, field, length));
            assert_eq!(head.len(), len_delimited_head_size(field, length));
        }
        for value in [0, 1, 127, 128, u64::MAX] {
            let buf = written(|buf| put_uint64(buf, field, value));
            assert_eq!(buf.len(), field_size(field, value));
        }
    }
}

#[test]
fn a_flipped_byte_is_read_as_prost_reads_it() {
    let sample = sample();
    for at in 0..sample.len() {
        for bit in 0..8 {
            let mut flipped = sample.clone();
            flipped[at] ^= 1 << bit;
            agrees_with_prost(&flipped).unwrap();
        }
    }
}

#[test]
fn a_truncated_record_is_refused_unless_cut_between_fields() {
    let sample = sample();
    let ends: Vec<usize> = Fields::new(&sample)
        .map(|field| field.unwrap().offset)
        .chain([sample.len()])
        .collect();
    for length in 0..sample.len() {
        let parsed = KeyValueView::parse(&sample[..length]);
        if ends.contains(&length) {
            parsed.unwrap();
        } else {
            let error = parsed.unwrap_err();
            assert!(
                matches!(error, Error::Truncated { .. }),
                "{length}: {error}"
            );
        }
    }
}

#[test]
fn errors_name_where_and_what() {
    let wrong_type = KeyValueView::parse(&[0x0a, 0, 0x12, 0]).unwrap_err();
    let expected = "0 (varint)";
    assert_eq!(
        wrong_type,
        Error::WireType {
            offset: 2,
            field: 2,
            expected,
            found: 2
        }
    );
    let short = KeyValueView::parse(&[0x0a, 5, 1]).unwrap_err();
    assert_eq!(
        short,
        Error::Truncated {
            offset: 2,
            expected: 5,
            found: 1
        }
    );
    let endless = KeyValueView::parse(&[
        0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
    ]);
    assert_eq!(endless.unwrap_err(), Error::VarintTooLong { offset: 1 });
    assert_eq!(
        KeyValueView::parse(&[0x00]).unwrap_err(),
        Error::FieldNumber {
            offset: 0,
            found: 0
        }
    );
}
