use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use proptest::prelude::*;

use super::OrderedMap;

fn key(n: u16) -> Bytes {
    // Short and long keys with equal prefixes, so that ties in the prefix array occur.
    match n % 3 {
        0 => Bytes::copy_from_slice(&n.to_be_bytes()),
        1 => Bytes::from(format!("common-prefix-{n:05}")),
        _ => Bytes::copy_from_slice(&[0; 9][..usize::from(n % 10)]),
    }
}

proptest! {
    /// Insertions and lookups agree with a BTreeMap, in every order of arrival and for every bound.
    #[test]
    fn behaves_like_a_btree_map(
        ops in prop::collection::vec((0u16..200, any::<u8>()), 0..120),
        bounds in prop::collection::vec((0u16..200, 0u16..200, 0u8..3, 0u8..3), 1..8),
    ) {
        let mut map = OrderedMap::<u8>::default();
        let mut model = BTreeMap::new();
        for (n, v) in ops {
            let new = map.upsert(key(n), v, |old, v| *old = v, |v| v);
            prop_assert_eq!(new, model.insert(key(n), v).is_none());
            prop_assert_eq!(map.len(), model.len());
        }
        for n in 0..200 {
            prop_assert_eq!(map.get(&key(n)), model.get(&key(n)));
        }
        for (a, b, ka, kb) in bounds {
            let (a, b) = (key(a), key(b));
            let bound = |kind: u8, k: &'static Bytes| match kind {
                0 => Bound::Unbounded,
                1 => Bound::Included(&k[..]),
                _ => Bound::Excluded(&k[..]),
            };
            let (a, b): (&'static Bytes, &'static Bytes) =
                (Box::leak(Box::new(a)), Box::leak(Box::new(b)));
            let (start, end) = (bound(ka, a), bound(kb, b));
            let inside = |k: &Bytes| {
                (match start { Bound::Unbounded => true, Bound::Included(s) => &k[..] >= s, Bound::Excluded(s) => &k[..] > s })
                    && (match end { Bound::Unbounded => true, Bound::Included(e) => &k[..] <= e, Bound::Excluded(e) => &k[..] < e })
            };
            let want: Vec<_> = model.iter().filter(|(k, _)| inside(k)).collect();
            let got: Vec<_> = map.range(start, end).collect();
            prop_assert_eq!(&got, &want);
            let mut back: Vec<_> = map.range_back(start, end).collect();
            back.reverse();
            prop_assert_eq!(back, want);
        }
    }
}

/// Revisions: evenly spread, with keys missing, and with several keys that share a prefix.
#[test]
fn numbers_are_found_however_they_are_spread() {
    let spreads: [fn(u64) -> u64; 5] = [
        |n| n,
        |n| 1000 + 7 * n,
        |n| n + n / 10 * 5,
        |n| n / 3,
        |n| n * n * n,
    ];
    for spread in spreads {
        let key = |n: u64| [&spread(n).to_be_bytes()[..], &n.to_be_bytes()[..]].concat();
        for count in [1, 2, 3, 50, 1000] {
            let mut map = OrderedMap::default();
            for n in (0..2 * count).step_by(2) {
                assert!(map.upsert(key(n).into(), n, |_, _| unreachable!(), |n| n));
            }
            for n in 0..2 * count + 3 {
                let expected = (n % 2 == 0 && n < 2 * count).then_some(n);
                assert_eq!(map.get(&key(n)).copied(), expected);
            }
        }
    }
    let mut ends = OrderedMap::default();
    for n in [0, u64::MAX] {
        ends.upsert(n.to_be_bytes().to_vec().into(), n, |_, _| {}, |n| n);
    }
    for n in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let expected = (n == 0 || n == u64::MAX).then_some(n);
        assert_eq!(ends.get(&n.to_be_bytes()).copied(), expected);
    }
}
