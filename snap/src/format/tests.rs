use super::*;

fn sample() -> raftpb::Snapshot {
    let conf_state = raftpb::ConfState {
        voters: vec![1, 2, 3],
        ..raftpb::ConfState::default()
    };
    let metadata = raftpb::SnapshotMetadata {
        conf_state,
        index: 0x2a,
        term: 7,
    };
    raftpb::Snapshot {
        data: Some((&b"{\"Root\":{}}"[..]).into()),
        metadata,
    }
}

fn read(bytes: &[u8]) -> Result<raftpb::Snapshot> {
    decode(Bytes::copy_from_slice(bytes), Path::new("f.snap"))
}

#[test]
fn a_snapshot_round_trips() {
    for snapshot in [
        sample(),
        raftpb::Snapshot {
            data: None,
            ..sample()
        },
    ] {
        assert_eq!(read(&encode(&snapshot)).unwrap(), snapshot);
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let bytes = encode(&sample());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            match read(&damaged) {
                // The checksum is a varint of up to 35 bits, of which 32 count.
                Ok(snapshot) => assert_eq!(snapshot, sample()),
                Err(e) => assert!(e.is_corruption(), "byte {at} bit {bit}"),
            }
        }
    }
}

#[test]
fn no_truncation_goes_unnoticed() {
    let bytes = encode(&sample());
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).unwrap_err().is_corruption(), "{len}");
    }
}

#[test]
fn a_container_without_data_or_checksum_is_refused() {
    let data = Some(Bytes::from(sample().encode_to_vec()));
    for container in [
        snappb::Snapshot {
            crc: 0,
            data: data.clone(),
        },
        snappb::Snapshot { crc: 5, data: None },
        snappb::Snapshot {
            crc: 5,
            data: Some(Bytes::new()),
        },
    ] {
        let refused = read(&container.encode_to_vec()).unwrap_err();
        assert!(matches!(refused, Error::Empty { .. }), "{refused}");
    }
    let wrong = snappb::Snapshot { crc: 5, data };
    assert!(matches!(
        read(&wrong.encode_to_vec()),
        Err(Error::CrcMismatch { expected: 5, .. })
    ));
}
