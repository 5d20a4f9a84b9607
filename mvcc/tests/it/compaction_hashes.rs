//! The history of the golden samples "compact-*", replayed: every hash real servers gave for it.

use std::sync::Arc;

use varve_backend::MemoryEngine;
use varve_mvcc::Store;

use crate::support::{
    compact, compact_fully, delete, finish_compaction, manual_options, open_on, owned, put,
};

/// Revisions 2 to 19 of the samples.
fn replay(store: &Store) {
    for (key, value) in [
        ("foo", "2"),
        ("o", "3"),
        ("foo", "4"),
        ("o", "5"),
        ("foo", ""),
        ("o", "7"),
        ("foo", "8"),
        ("o", "9"),
        ("foo", "10"),
        ("p", "11"),
        ("foo", ""),
        ("p", "13"),
        ("foo", "14"),
    ] {
        if value.is_empty() {
            delete(store, key);
        } else {
            put(store, key, value);
        }
    }
    let mut txn = store.write();
    txn.put(owned("q"), owned("15"), 0).unwrap();
    txn.put(owned("foo"), owned("15.1"), 0).unwrap();
    txn.end();
    delete(store, "foo");
    put(store, "q", "17");
    delete(store, "p");
    assert_eq!(put(store, "o", "19"), 19);
}

/// `revision:hash` pairs as the servers printed them; a revision that is missing is refused.
fn check(store: &Store, expected: &str) {
    let mut known = std::collections::BTreeMap::new();
    for pair in expected.split_whitespace() {
        let (revision, hash) = pair.split_once(':').unwrap();
        known.insert(
            revision.parse::<i64>().unwrap(),
            hash.parse::<u32>().unwrap(),
        );
    }
    for revision in 0..=store.revision() {
        let hash = store.hash_kv(revision).ok().map(|hash| hash.hash);
        assert_eq!(hash, known.get(&revision).copied(), "HashKV({revision})");
    }
}

#[test]
fn every_hash_is_the_one_etcd_3_6_gives() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine.clone(), manual_options());
    replay(&store);
    check(
        &store,
        "0:3198764989 1:1084519789 2:1898698489 3:3517330151 4:187702665 5:4215356907 6:905813473 \
         7:3840722324 8:1027907680 9:3121182097 10:3568983890 11:702339099 12:3666334986 \
         13:1228573572 14:2938763060 15:1363125386 16:2320638644 17:8930454 18:3631310212 \
         19:3198764989",
    );
    compact_fully(&store, 5);
    check(
        &store,
        "0:3722797274 5:4215356907 6:3737515221 7:3640797147 8:2427993759 9:2458753065 \
         10:3744929840 11:852737963 12:2655899006 13:2749715652 14:3056511491 15:3192160142 \
         16:4187277008 17:1869969937 18:2446190531 19:3722797274",
    );
    compact_fully(&store, 6);
    check(
        &store,
        "0:2185222663 5:4215356907 6:3737515221 7:3361715536 8:2477949335 9:1189280833 \
         10:2730955370 11:3956096381 12:2977826078 13:3540423392 14:3312140511 15:270812846 \
         16:2036598782 17:793115430 18:694856040 19:2185222663",
    );
    compact_fully(&store, 10);
    check(
        &store,
        "0:1647297406 5:4215356907 6:3737515221 10:2730955370 11:397068086 12:754579061 \
         13:3391058538 14:4220424918 15:3957357725 16:3007145511 17:2904446806 18:2365696427 \
         19:1647297406",
    );
    compact_fully(&store, 12);
    check(
        &store,
        "0:809753506 5:4215356907 6:3737515221 10:2730955370 12:754579061 13:1416677210 \
         14:2806046488 15:4075241648 16:37484954 17:920051411 18:3562746903 19:809753506",
    );
    compact_fully(&store, 16);
    check(
        &store,
        "0:2375851713 5:4215356907 6:3737515221 10:2730955370 12:754579061 16:37484954 \
         17:4234202317 18:2386577727 19:2375851713",
    );
    put(&store, "foo", "20");
    compact_fully(&store, 18);
    delete(&store, "o");
    compact_fully(&store, 21);
    let remembered: Vec<_> = store.compaction_hashes().into_iter().collect();
    let remembered: Vec<_> = remembered
        .iter()
        .map(|hash| (hash.hash_revision, hash.compact_revision, hash.hash))
        .collect();
    assert_eq!(
        remembered,
        [
            (5, -1, 4_215_356_907),
            (6, 5, 3_737_515_221),
            (10, 6, 2_730_955_370),
            (12, 10, 754_579_061),
            (16, 12, 37_484_954),
            (18, 16, 2_386_577_727),
            (21, 18, 3_480_140_768),
        ]
    );
    // Remembered hashes are not stored: a restarted member computes the plain one.
    store.close().unwrap();
    let store = open_on(engine, manual_options());
    check(&store, "0:2308264813 21:2308264813");
    let hash = store.hash_kv(0).unwrap();
    assert_eq!((hash.compact_revision, hash.hash_revision), (21, 21));
}

#[test]
fn a_hash_with_nothing_to_keep_does_not_depend_on_how_far_a_compaction_has_come() {
    let engine = Arc::new(MemoryEngine::new());
    let store = open_on(engine, manual_options());
    put(&store, "a", "");
    delete(&store, "a");
    put(&store, "b", "");
    delete(&store, "b");
    compact(&store, 4);
    let pending = store.hash_kv(5).unwrap();
    finish_compaction(&store);
    assert_eq!(store.stats().compacted_rows, 2);
    assert_eq!(store.hash_kv(5).unwrap(), pending);
}
