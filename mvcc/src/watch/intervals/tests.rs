use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(0u8..4, 0..4).prop_map(Bytes::from)
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![1 => Just(End::Open), 4 => key().prop_map(End::Before)]
}

proptest! {
    #[test]
    fn a_key_is_in_exactly_the_ranges_that_contain_it(
        steps in proptest::collection::vec((any::<bool>(), key(), end(), 0u8..4), 1..120),
        probes in proptest::collection::vec(key(), 20),
    ) {
        let mut intervals = Intervals::new();
        let mut model: Vec<(Bytes, End, u8)> = Vec::new();
        for (add, start, end, member) in steps {
            if add || model.is_empty() {
                intervals.insert(&start, end.clone(), member);
                model.push((start, end, member));
            } else {
                let at = usize::from(member) * 7 % model.len();
                let (start, end, member) = model.swap_remove(at);
                intervals.remove(&start, &end, &member);
            }
            for probe in &probes {
                let mut found = Vec::new();
                intervals.stab(probe, &mut |member| found.push(*member));
                found.sort_unstable();
                let inside = model.iter().filter(|(s, e, _)| s <= probe && e.is_after(probe));
                let mut expected: Vec<u8> = inside.map(|(_, _, member)| *member).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
        for (start, end, member) in model {
            intervals.remove(&start, &end, &member);
        }
        prop_assert!(intervals.root.is_none());
    }
}
