use super::*;

#[test]
fn names_round_trip_and_sort_by_term_then_index() {
    let older = SnapName {
        term: 2,
        index: 0x9f,
    };
    let newer = SnapName {
        term: 0x10,
        index: 1,
    };
    assert_eq!(older.to_string(), "0000000000000002-000000000000009f.snap");
    for name in [
        older,
        newer,
        SnapName {
            term: u64::MAX,
            index: u64::MAX,
        },
    ] {
        assert_eq!(SnapName::parse(&name.to_string()), Some(name));
    }
    assert!(older < newer && older.to_string() < newer.to_string());
    assert_eq!(parse_db_name(&db_name(0x9f)), Some(0x9f));
}

#[test]
fn other_names_are_not_snapshots() {
    for name in [
        "db",
        "tmp123",
        "000000000000009f.snap.db",
        "0000000000000002-000000000000009f.snap.broken",
        "2-9f.snap",
        "+000000000000002-000000000000009f.snap",
    ] {
        assert_eq!(SnapName::parse(name), None, "{name}");
    }
    for name in [
        "9f.snap.db",
        "0000000000000002-000000000000009f.snap",
        "snap.db",
    ] {
        assert_eq!(parse_db_name(name), None, "{name}");
    }
}
