//! Small parts of the pass over a tree.
use super::{Change, count_before};

#[test]
fn changes_before_a_key_are_counted_whatever_their_number() {
    let keys: Vec<[u8; 2]> = (0..300u16).map(|n| (n * 2).to_be_bytes()).collect();
    for len in [0, 1, 2, 3, 7, 8, 100, 300] {
        let changes: Vec<(&[u8], Change<'_>)> = keys[..len]
            .iter()
            .map(|key| (&key[..], Change::Delete))
            .collect();
        for key in 0..700u16 {
            let expected = usize::from(key.div_ceil(2)).min(len);
            assert_eq!(count_before(&changes, &key.to_be_bytes()), expected);
        }
    }
}
