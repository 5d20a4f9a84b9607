use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Every write ever made, and what compactions deleted: the definition, without any cleverness.
#[derive(Clone, Default)]
struct Model {
    writes: BTreeMap<RowKey, Vec<u8>>,
    created: BTreeMap<RowKey, (i64, i64)>,
}

impl Model {
    fn write_at(&self, key: &[u8], at: i64) -> Option<RowKey> {
        let of_key = self.writes.iter().filter(|(_, k)| *k == key);
        let rows = of_key.map(|(row, _)| *row);
        rows.filter(|row| row.revision.main <= at).max()
    }

    fn get(&self, key: &[u8], at: i64) -> Option<Found> {
        let row = self.write_at(key, at)?;
        if row.tombstone {
            return None;
        }
        let (created, version) = self.created[&row];
        let revision = row.revision;
        Some(Found {
            revision,
            created,
            version,
        })
    }

    fn compact(&mut self, at: i64) -> Vec<RowKey> {
        let dead: Vec<RowKey> = self
            .writes
            .iter()
            .filter(|(row, key)| {
                let newest = self.write_at(key, at) == Some(**row);
                row.revision.main <= at && (!newest || (row.tombstone && row.revision.main < at))
            })
            .map(|(row, _)| *row)
            .collect();
        for row in &dead {
            self.writes.remove(row);
        }
        dead
    }
}

fn compact(index: &mut Index, at: i64, limit: usize) -> Vec<RowKey> {
    let mut dead = Vec::new();
    while !index.compact_some(at, limit, &mut dead) {}
    dead.sort();
    dead
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete(u8),
    NextRevision,
    Compact(u8),
    Reopen(u8),
    View,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0u8..12).prop_map(Step::Put),
        5 => (0u8..12).prop_map(Step::Delete),
        8 => Just(Step::NextRevision),
        2 => any::<u8>().prop_map(Step::Compact),
        1 => any::<u8>().prop_map(Step::Reopen),
        2 => Just(Step::View),
    ]
}

/// As opening does it: rows in their order, so many at once.
fn restored(model: &Model, at_once: usize) -> Index {
    let mut index = Index::new();
    let rows: Vec<(&[u8], Entry)> = model
        .writes
        .iter()
        .map(|(row, key)| {
            let entry = if row.tombstone {
                Entry::tombstone(row.revision)
            } else {
                let (created, version) = model.created[row];
                Entry::put(row.revision, created, version)
            };
            (&key[..], entry)
        })
        .collect();
    for rows in rows.chunks(at_once) {
        index.restore(rows);
    }
    index
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn an_index_finds_and_forgets_as_the_list_of_writes_says(
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut index = Index::new();
        let mut model = Model::default();
        let (mut main, mut sub, mut compacted) = (2, 0, -1);
        let mut views: Vec<(IndexView, Model, i64, i64)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(key) => {
                    let key = [b'k', key];
                    let revision = Revision::new(main, sub);
                    sub += 1;
                    let before = model.get(&key, i64::MAX);
                    let found = index.put(&key, revision);
                    let (created, version) = before.map_or((main, 1), |b| (b.created, b.version + 1));
                    prop_assert_eq!(found, Found { revision, created, version });
                    model.writes.insert(RowKey::put(revision), key.to_vec());
                    model.created.insert(RowKey::put(revision), (created, version));
                }
                Step::Delete(key) => {
                    let key = [b'k', key];
                    let revision = Revision::new(main, sub);
                    let expected = model.get(&key, i64::MAX).is_some();
                    prop_assert_eq!(index.tombstone(&key, revision), expected);
                    if expected {
                        sub += 1;
                        model.writes.insert(RowKey::tombstone(revision), key.to_vec());
                    }
                }
                Step::NextRevision => if sub > 0 { (main, sub) = (main + 1, 0) },
                Step::Compact(back) => {
                    let at = main - 1 - i64::from(back % 16);
                    if sub == 0 && at > compacted {
                        compacted = at;
                        prop_assert_eq!(compact(&mut index, at, 1 + usize::from(back)), model.compact(at));
                    }
                }
                Step::Reopen(at_once) => index = restored(&model, 1 + usize::from(at_once)),
                Step::View => if sub == 0 {
                    views.push((index.view(), model.clone(), main - 1, compacted));
                },
            }
        }
        views.push((index.view(), model, main, compacted));
        for (view, model, revision, compacted) in &views {
            for at in *compacted..=*revision {
                let mut expected = Vec::new();
                for key in 0..12 {
                    let key = [b'k', key];
                    prop_assert_eq!(view.get(&key, at), model.get(&key, at));
                    expected.extend(model.get(&key, at).map(|found| (key.to_vec(), found)));
                }
                let mut all = Vec::new();
                let bounds = Bounds { start: b"k", end: Some(b"l") };
                view.visit(bounds, at, at == *revision, &mut |key, found| {
                    all.push((key.to_vec(), found));
                    ControlFlow::Continue(())
                });
                prop_assert_eq!(view.any_at(at), !expected.is_empty());
                if at == *revision {
                    prop_assert_eq!(view.count_live(bounds), expected.len());
                }
                prop_assert_eq!(all, expected);
            }
        }
    }
}

#[test]
fn a_compaction_forgets_its_queue() {
    let mut index = Index::new();
    for main in 2..1000 {
        index.put(b"hot", Revision::new(main, 0));
    }
    assert_eq!(compact(&mut index, 999, 100).len(), 997);
    assert!(index.superseding.is_empty() && index.tombstones.is_empty());
    assert!(matches!(index.tree.get(b"hot"), Some((Slot::One(_), true))));
}
