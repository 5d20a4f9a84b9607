use super::*;

#[test]
fn a_put_row_is_the_documented_bytes() {
    let key = RowKey::put(Revision::new(0x0102, 3)).encode();
    assert_eq!(
        key.as_ref(),
        [0, 0, 0, 0, 0, 0, 1, 2, b'_', 0, 0, 0, 0, 0, 0, 0, 3]
    );
    let key = RowKey::tombstone(Revision::new(6, 0)).encode();
    assert_eq!(key.len(), 18);
    assert_eq!(key[17], b't');
}

#[test]
fn every_row_key_comes_back_and_bytes_sort_as_revisions() {
    let numbers = [0, 1, 255, 256, i64::MAX];
    let mut keys = Vec::new();
    for main in numbers {
        for sub in numbers {
            for row in [
                RowKey::put(Revision::new(main, sub)),
                RowKey::tombstone(Revision::new(main, sub)),
            ] {
                assert_eq!(RowKey::decode(&row.encode()).unwrap(), row);
                keys.push(row);
            }
        }
    }
    let mut by_bytes = keys.clone();
    by_bytes.sort_by_key(|row| row.encode());
    keys.sort();
    assert_eq!(keys, by_bytes);
}

#[test]
fn a_flipped_byte_gives_another_row_or_an_error() {
    // Every bit of the numbers is meaningful, every bit of the marks is checked.
    for row in [
        RowKey::put(Revision::new(77, 5)),
        RowKey::tombstone(Revision::new(77, 5)),
    ] {
        let good = row.encode();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.to_vec();
                bad[at] ^= 1 << bit;
                if let Ok(read) = RowKey::decode(&bad) {
                    assert_ne!(read, row);
                    assert!(at != 8 && at != 17, "a mark may not differ");
                }
            }
        }
    }
}

#[test]
fn a_cut_row_key_is_refused_at_every_length() {
    let good = RowKey::tombstone(Revision::new(77, 5)).encode();
    for len in 0..17 {
        assert!(RowKey::decode(&good[..len]).is_err());
    }
    assert!(!RowKey::decode(&good[..17]).unwrap().tombstone);
}
