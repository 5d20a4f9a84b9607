//! Searches agree with a plain one, whatever is claimed of the keys.
#![expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that is wrong about its own numbers should stop"
)]
use std::sync::Arc;

use proptest::prelude::*;
use varve_backend::bbolt::PageBuilder;
use varve_vfs::{OpenOptions, SimFs};

use super::{Between, Wanted, place};
use crate::page::Pages;
use crate::source::PreadSource;

const PAGE: usize = 65536;

/// A file whose page 2 is a branch or a leaf with these keys.
fn page_of(keys: &[Vec<u8>], branch: bool) -> Pages {
    let count = u16::try_from(keys.len()).unwrap();
    let data = keys.iter().map(Vec::len).sum();
    let mut builder = if branch {
        PageBuilder::branch(count, data)
    } else {
        PageBuilder::leaf(count, data)
    };
    for key in keys {
        if branch {
            builder.push_branch(key, 3);
        } else {
            builder.push_leaf(0, key, b"");
        }
    }
    let fs = SimFs::new().shared();
    let file = fs.open("/db".as_ref(), OpenOptions::create()).unwrap();
    let bytes = builder.finish(2, PAGE);
    file.write_all_at(&bytes, 2 * PAGE as u64).unwrap();
    let path: Arc<std::path::Path> = Arc::from(std::path::Path::new("/db"));
    Pages {
        source: Arc::new(PreadSource {
            file: Arc::from(file),
            path: path.to_path_buf(),
        }),
        path,
        page_size: PAGE,
        high_water: 3,
    }
}

fn agrees(keys: &[Vec<u8>], wanted: &[u8], between: &Between) {
    for branch in [false, true] {
        let pages = page_of(keys, branch);
        let node = pages.node(2).unwrap();
        let expected = keys.binary_search_by(|k| k[..].cmp(wanted));
        assert_eq!(node.search(wanted).unwrap(), expected);
        let place = node.search_between(&Wanted::new(wanted), between).unwrap();
        assert_eq!(place, expected, "{wanted:?}");
        let child = expected.unwrap_or_else(|i| i.saturating_sub(1));
        let mut narrowed = *between;
        let found = node.child_between(&Wanted::new(wanted), &mut narrowed);
        assert_eq!(found.unwrap(), child);
        assert_eq!(node.child_for(wanted).unwrap(), child);
    }
}

fn keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let short = proptest::collection::vec(0u8..4, 1..12);
    let growing = (0u64..5000).prop_map(|n| [&n.to_be_bytes()[..], b"_", &[0; 8]].concat());
    proptest::collection::btree_set(prop_oneof![short, growing], 1..300)
        .prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn searches_agree_with_a_plain_one_whatever_is_claimed(
        keys in keys(),
        at in any::<proptest::sample::Index>(),
        cut in 0usize..20,
        low in proptest::option::of(any::<u64>()),
        high in proptest::option::of(0u64..6000),
    ) {
        let between = Between { low: low.map(|n| n >> 50), high };
        let near = at.get(&keys);
        agrees(&keys, near, &between);
        agrees(&keys, &near[..cut.min(near.len())], &between);
        agrees(&keys, &[&near[..], &[0]].concat(), &between);
        agrees(&keys, &[], &Between::default());
        agrees(&keys, &[0xFF; 9], &Between { low, high });
    }
}

#[test]
fn evenly_spread_numbers_are_found_where_they_stand() {
    for (low, step) in [
        (0u64, 1u64),
        (1 << 40, 14),
        (7, 1 << 47),
        (u64::MAX - 400, 1),
    ] {
        let high = low.saturating_add(124 * step);
        for n in 0..124 {
            let at = place(low + n as u64 * step, low, high, 124);
            assert!(at.abs_diff(n) <= 1, "{n} of {low} by {step}: {at}");
        }
    }
    // Claims that are no bounds lead to some place on the page.
    assert_eq!(place(5, 9, 3, 10), 10);
    assert_eq!(place(0, 9, 12, 10), 0);
    assert_eq!(place(u64::MAX, 0, u64::MAX, 65535), 65535);
}
