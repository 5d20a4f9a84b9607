use proptest::prelude::*;
use varve_proto::mvccpb::{Event, event::EventType};

use super::*;

const ROW: RowKey = RowKey::put(Revision::new(9, 1));

fn sample() -> KeyValue {
    KeyValue {
        key: Bytes::from_static(b"foo"),
        create_revision: 4,
        mod_revision: 9,
        version: 3,
        value: Bytes::from_static(b"a value"),
        lease: 0x1234_5678_9abc,
    }
}

fn numbers(record: &Record) -> (i64, i64, i64, i64) {
    (
        record.created,
        record.modified,
        record.version,
        record.lease,
    )
}

/// Zeros, which are left out of a message, and numbers of every length.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 1i64..1000, any::<i64>()]
}

proptest! {
    #[test]
    fn a_record_is_written_as_protobuf_writes_it(
        key in proptest::collection::vec(any::<u8>(), 0..300),
        value in proptest::collection::vec(any::<u8>(), 0..300),
        numbers in [number(), number(), number(), number()],
    ) {
        let [create_revision, mod_revision, version, lease] = numbers;
        let message = KeyValue {
            key: key.clone().into(),
            create_revision,
            mod_revision,
            version,
            value: value.clone().into(),
            lease,
        };
        let revision = Revision::new(mod_revision, 7);
        let written = put(&key, &value, revision, create_revision, version, lease);
        prop_assert_eq!(written, message.encode_to_vec());
        let deleted = KeyValue { key: key.clone().into(), ..KeyValue::default() };
        prop_assert_eq!(tombstone(&key), deleted.encode_to_vec());
    }

    #[test]
    fn a_record_is_read_as_protobuf_reads_it(
        key in proptest::collection::vec(any::<u8>(), 0..40),
        value in proptest::collection::vec(any::<u8>(), 0..300),
        created: i64, modified: i64, version: i64, lease: i64,
    ) {
        let message = KeyValue {
            key: key.clone().into(),
            create_revision: created,
            mod_revision: modified,
            version,
            value: value.clone().into(),
            lease,
        };
        let bytes: Bytes = message.encode_to_vec().into();
        let record = Record::of_row(ROW, &bytes).unwrap();
        prop_assert_eq!(&bytes[record.key.clone()], &key[..]);
        prop_assert_eq!(&bytes[record.value.clone()], &value[..]);
        prop_assert_eq!(numbers(&record), (created, modified, version, lease));
        let bare = KeyValue { value: Bytes::new(), ..message };
        prop_assert_eq!(without_value(ROW, &bytes).unwrap(), bare.encode_to_vec());
    }

    #[test]
    fn no_bytes_at_all_make_the_reader_panic_or_disagree_with_protobuf(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let bytes = Bytes::from(bytes);
        if let (Ok(record), Ok(message)) =
            (Record::of_row(ROW, &bytes), KeyValue::decode(bytes.clone()))
        {
            prop_assert_eq!(&bytes[record.key.clone()], &message.key[..]);
            prop_assert_eq!(&bytes[record.value.clone()], &message.value[..]);
        }
    }
}

#[test]
fn every_flipped_bit_is_read_as_protobuf_reads_it_or_refused() {
    let good = sample().encode_to_vec();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let bad = Bytes::from(bad);
        let record = Record::of_row(ROW, &bad);
        if let (Ok(record), Ok(message)) = (&record, KeyValue::decode(bad.clone())) {
            assert_eq!(&bad[record.key.clone()], &message.key[..]);
            let KeyValue {
                create_revision,
                mod_revision,
                version,
                lease,
                ..
            } = message;
            assert_eq!(
                numbers(record),
                (create_revision, mod_revision, version, lease)
            );
        }
    }
}

#[test]
fn a_record_cut_inside_a_field_is_refused() {
    let good = sample().encode_to_vec();
    let whole_fields: Vec<usize> = {
        // Offsets between fields, where a shorter record is a sound one.
        let mut ends = vec![0];
        let mut message = KeyValue::default();
        let full = sample();
        message.key = full.key;
        ends.push(message.encoded_len());
        message.create_revision = full.create_revision;
        ends.push(message.encoded_len());
        message.mod_revision = full.mod_revision;
        ends.push(message.encoded_len());
        message.version = full.version;
        ends.push(message.encoded_len());
        message.value = full.value;
        ends.push(message.encoded_len());
        ends
    };
    for len in 0..good.len() {
        let cut = Record::of_row(ROW, &good[..len]);
        assert_eq!(cut.is_ok(), whole_fields.contains(&len), "cut at {len}");
        if let Err(error) = cut {
            assert!(error.is_corruption());
            assert!(error.to_string().contains("9.1"), "{error}");
        }
    }
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    let mut bytes = sample().encode_to_vec();
    bytes.extend([7 << 3, 5]);
    bytes.extend([8 << 3 | 2, 2, 0, 0]);
    bytes.extend([9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([10 << 3 | 5, 0, 0, 0, 0]);
    let record = Record::of_row(ROW, &bytes).unwrap();
    assert_eq!(record.lease, sample().lease);
    bytes.extend([11 << 3 | 3]);
    assert!(Record::of_row(ROW, &bytes).is_err());
}

#[test]
fn events_are_the_bytes_protobuf_would_write() {
    let stored: Bytes = sample().encode_to_vec().into();
    let before = KeyValue {
        mod_revision: 4,
        ..sample()
    };
    let previous: Bytes = before.encode_to_vec().into();
    for prev in [None, Some(&previous)] {
        let prev_kv = prev.map(|_| before.clone());
        let put = Event {
            r#type: EventType::Put.into(),
            kv: Some(sample()),
            prev_kv: prev_kv.clone(),
        };
        assert_eq!(event(ROW, &stored, b"foo", prev), put.encode_to_vec());
        let row = RowKey::tombstone(Revision::new(10, 0));
        let kv = KeyValue {
            key: Bytes::from_static(b"foo"),
            mod_revision: 10,
            ..KeyValue::default()
        };
        let delete = Event {
            r#type: EventType::Delete.into(),
            kv: Some(kv),
            prev_kv,
        };
        let stored = tombstone(&Bytes::from_static(b"foo"));
        assert_eq!(event(row, &stored, b"foo", prev), delete.encode_to_vec());
    }
}
