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

fn shown(entries: &[Entry]) -> String {
    let shown = entries.iter().map(|entry| {
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
        assert_eq!(shown(history.split_at_compaction(at).1), expected, "{at}");
        let mut stepped = Some(foo());
        for step in 1..=at {
            stepped = stepped.and_then(|h| KeyHistory::from_kept(h.split_at_compaction(step).1));
        }
        let left = stepped.map(|h| shown(&h.entries)).unwrap_or_default();
        assert_eq!(left, expected, "stepped to {at}");
    }
}

#[test]
fn a_compaction_above_all_puts_keeps_the_newest() {
    let mut history = KeyHistory::new(Entry::put(Revision::new(1, 0), 1, 1));
    history.push(history.last().next_put(Revision::new(2, 0)));
    let (dead, kept) = history.split_at_compaction(3);
    assert_eq!((shown(dead), shown(kept)), ("1".into(), "2".into()));
}

#[test]
fn a_restored_lone_tombstone_is_not_found_and_ends_with_the_next_put() {
    let mut history = KeyHistory::new(Entry::tombstone(Revision::new(16, 0)));
    for at in 0..20 {
        assert_eq!(history.write_at(at).and_then(|e| e.found()), None);
    }
    assert_eq!(shown(history.split_at_compaction(16).1), "16t");
    history.push(history.last().next_put(Revision::new(17, 0)));
    history.push(history.last().next_put(Revision::new(18, 0)));
    assert_eq!(shown(history.split_at_compaction(17).1), "17 18");
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
