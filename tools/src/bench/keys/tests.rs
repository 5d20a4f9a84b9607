use std::collections::BTreeSet;

use super::*;

#[test]
fn keys_are_gos_varints_in_a_fixed_size() {
    // Values of Go's binary.PutVarint, worked out by its documentation: zigzag, base 128.
    for (number, want) in [
        (0, &[0x00][..]),
        (1, &[0x02]),
        (63, &[0x7e]),
        (64, &[0x80, 0x01]),
        (8191, &[0xfe, 0x7f]),
        (8192, &[0x80, 0x80, 0x01]),
    ] {
        assert_eq!(varint(number), want, "{number}");
    }
    let keys = KeySpace::new("p/", 8, 10_000).unwrap();
    assert_eq!(&keys.key(64)[..], b"p/\x80\x01\0\0\0\0\0\0");
    assert_eq!(keys.key(10_064), keys.key(64));
}

#[test]
fn a_space_has_exactly_its_number_of_keys() {
    let keys = KeySpace::new("", 4, 1000).unwrap();
    let all: BTreeSet<_> = (0..3000).map(|i| keys.key(i)).collect();
    assert_eq!(all.len(), 1000);
    let mut random = Random::new(Some(7));
    assert!((0..3000).all(|_| all.contains(&keys.random_key(&mut random))));
}

#[test]
fn a_space_too_big_for_its_keys_is_refused() {
    assert!(KeySpace::new("", 1, 64).is_ok());
    let refused = KeySpace::new("", 1, 65).unwrap_err().to_string();
    assert!(refused.contains("needs keys of 2 bytes"), "{refused}");
    assert!(KeySpace::new("", 0, 1).is_err());
    assert!(KeySpace::new("", 10, u64::MAX).is_ok());
}

#[test]
fn a_seed_fixes_the_bytes() {
    let draw = |seed| Random::new(Some(seed)).bytes(37);
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_eq!(draw(3).len(), 37);
}
