use proptest::prelude::*;

use super::*;

/// foo: put 2, put 4, del 6, put 8, put 10, del 12, put 14, put 15.1, del 16.
fn foo() -> KeyHistory {
    let mut history = KeyHistory::new(Entry::put(Revision::new(2, 0), 2, 1));
    for (main, sub, put) in [
        (4, 0, true),
        (6, 0, false),
        (8, 0, true),
        (10, 0, true),
        (12, 0, false),
        (14, 0, true),
        (15, 1, true),
        (16, 0, false),
    ] {
        let revision = Revision::new(main, sub);
        history.push(if put {
            history.last().next_put(revision)
        } else {
            Entry::tombstone(revision)
        });
    }
    history
}

/// What a compaction removes and what it leaves.
fn compacted(history: &KeyHistory, at: i64) -> (String, String) {
    let dying = history.dying_at(at);
    let left = history.without_oldest(dying);
    let left = left.map(|left| shown(left.entries())).unwrap_or_default();
    (shown(history.entries().take(dying)), left)
}

fn shown(entries: impl Iterator<Item = Entry>) -> String {
    let shown = entries.map(|entry| {
        let Revision { main, sub } = entry.revision;
        let sub = if sub > 0 {
            format!(".{sub}")
        } else {
            String::new()
        };
        format!("{main}{sub}{}", if entry.is_tombstone() { "t" } else { "" })
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_compaction_keeps_what_the_worked_table_says() {
    // The table of docs/formats/mvcc-keys.md, new rules: compaction revision, what remains.
    let all = "2 4 6t 8 10 12t 14 15.1 16t";
    let table = [
        (1, all),
        (2, all),
        (3, all),
        (4, "4 6t 8 10 12t 14 15.1 16t"),
        (5, "4 6t 8 10 12t 14 15.1 16t"),
        (6, "6t 8 10 12t 14 15.1 16t"),
        (7, "8 10 12t 14 15.1 16t"),
        (8, "8 10 12t 14 15.1 16t"),
        (9, "8 10 12t 14 15.1 16t"),
        (10, "10 12t 14 15.1 16t"),
        (11, "10 12t 14 15.1 16t"),
        (12, "12t 14 15.1 16t"),
        (13, "14 15.1 16t"),
        (14, "14 15.1 16t"),
        (15, "15.1 16t"),
        (16, "16t"),
        (17, ""),
    ];
    for (at, expected) in table {
        // From the whole history, and step by step through every earlier compaction.
        let history = foo();
        assert_eq!(compacted(&history, at).1, expected, "{at}");
        let mut stepped = Some(foo());
        for step in 1..=at {
            stepped = stepped.and_then(|h| h.without_oldest(h.dying_at(step)));
        }
        let left = stepped.map(|h| shown(h.entries())).unwrap_or_default();
        assert_eq!(left, expected, "stepped to {at}");
    }
}

#[test]
fn a_compaction_above_all_puts_keeps_the_newest() {
    let mut history = KeyHistory::new(Entry::put(Revision::new(1, 0), 1, 1));
    history.push(history.last().next_put(Revision::new(2, 0)));
    assert_eq!(compacted(&history, 3), ("1".into(), "2".into()));
}

#[test]
fn a_restored_lone_tombstone_is_not_found_and_ends_with_the_next_put() {
    let mut history = KeyHistory::new(Entry::tombstone(Revision::new(16, 0)));
    for at in 0..20 {
        assert_eq!(history.write_at(at).and_then(|e| e.found()), None);
    }
    assert_eq!(compacted(&history, 16).1, "16t");
    history.push(history.last().next_put(Revision::new(17, 0)));
    history.push(history.last().next_put(Revision::new(18, 0)));
    assert_eq!(compacted(&history, 17).1, "17 18");
}

#[test]
fn a_get_finds_the_version_of_its_revision() {
    let history = foo();
    let get = |at| {
        history
            .write_at(at)
            .and_then(|e| e.found())
            .map(|f| (f.revision.main, f.revision.sub, f.created, f.version))
    };
    assert_eq!(get(1), None);
    assert_eq!(get(2), Some((2, 0, 2, 1)));
    assert_eq!(get(5), Some((4, 0, 2, 2)));
    assert_eq!(get(6), None);
    assert_eq!(get(7), None);
    assert_eq!(get(11), Some((10, 0, 8, 2)));
    assert_eq!(get(13), None);
    assert_eq!(get(15), Some((15, 1, 14, 2)));
    assert_eq!(get(16), None);
    assert_eq!(get(i64::MAX), None);
}

/// Writes with numbers of every size: what does not fit the packed form is kept all the same.
fn writes() -> impl Strategy<Value = Vec<(i64, i64, bool, i64, i64)>> {
    let number = || {
        prop_oneof![
            8 => 0i64..5,
            1 => (i64::from(u32::MAX) - 2)..(i64::from(u32::MAX) + 3),
            1 => Just(i64::MAX),
        ]
    };
    let write = (0i64..3, number(), any::<bool>(), number(), number());
    proptest::collection::vec(write, 1..12)
}

proptest! {
    #[test]
    fn a_history_is_the_list_of_its_writes(writes in writes()) {
        let mut list: Vec<Entry> = Vec::new();
        let mut history: Option<KeyHistory> = None;
        let mut main = 0;
        for (by, sub, put, created, version) in writes {
            main += by;
            let revision = Revision::new(main, sub);
            if list.last().is_some_and(|last| last.revision >= revision) {
                continue;
            }
            let entry = if put {
                Entry::put(revision, created, version)
            } else {
                Entry::tombstone(revision)
            };
            let packed = Packed::of(entry);
            prop_assert_eq!(packed.map_or(entry, Packed::entry), entry);
            history = Some(match (history, &list[..]) {
                (None, _) => KeyHistory::new(entry),
                (Some(_), [first]) => KeyHistory::of_two(*first, entry),
                (Some(mut history), _) => {
                    history.push(entry);
                    history
                }
            });
            list.push(entry);
        }
        let Some(history) = history else { return Ok(()) };
        prop_assert_eq!(history.len(), list.len());
        prop_assert_eq!(Some(&history.last()), list.last());
        for at in 0..=main + 1 {
            let before = list.iter().filter(|entry| entry.revision.main <= at).copied();
            prop_assert_eq!(history.write_at(at), before.last());
        }
        for count in 0..=list.len() {
            let left = history.without_oldest(count).map(|h| h.entries().collect());
            let expected = (count < list.len()).then(|| list[count..].to_vec());
            prop_assert_eq!(left, expected);
        }
    }
}
