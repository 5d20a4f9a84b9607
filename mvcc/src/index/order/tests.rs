use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u32..2000).prop_map(|n| format!("/registry/pods/ns-{:02}/{n:04}", n % 7).into_bytes()),
        // Zeros, which fill up what is short, and keys that are the beginnings of others.
        4 => proptest::collection::vec(0u8..2, 0..20),
        1 => (0usize..40).prop_map(|len| vec![b'x'; len]),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn keys_are_sorted_as_comparing_them_whole_would(
        keys in proptest::collection::vec(key(), 0..400),
        times in 1usize..3,
    ) {
        // Some more than once: equal keys stay in their order.
        let keys: Vec<&[u8]> = keys.iter().map(|k| &k[..]).cycle().take(keys.len() * times).collect();
        let mut expected: Vec<u32> = (0..u32::try_from(keys.len()).unwrap()).collect();
        expected.sort_by_key(|number| keys[*number as usize]);
        prop_assert_eq!(by_key(&keys), expected);
    }
}

#[test]
fn a_key_written_ten_thousand_times_is_no_trouble() {
    let keys = vec![&b"/registry/leases/kube-scheduler"[..]; 10_000];
    let order: Vec<u32> = (0..10_000).collect();
    assert_eq!(by_key(&keys), order);
}
