//! Random histories, compared with etcd's bookkeeping step by step.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::{Direction, Engine, KeyRange, MemoryEngine};
use varve_mvcc::schema::KEY;
use varve_mvcc::{Error, RangeOptions, ReadView, Revision, RowKey, Store};

use crate::etcd_model::EtcdModel;
use crate::support::{compact, finish_compaction, manual_options, open_on};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Txn(Vec<Op>),
    Range {
        key: u8,
        len: u8,
        back: u8,
        limit: u8,
    },
    Compact(u8),
    Advance(u8),
    Hash(u8),
    View,
    Reopen,
}

pub(crate) fn name(n: u8) -> Bytes {
    // Names of several lengths, some a prefix of others.
    Bytes::from(format!("k{:0width$}", n, width = usize::from(n % 3) + 1))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..16, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        3 => (0u8..16).prop_map(Op::Delete),
        1 => (0u8..16, 0u8..16).prop_map(|(from, to)| Op::DeleteRange(from, to)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => proptest::collection::vec(op(), 0..4).prop_map(Step::Txn),
        8 => (0u8..16, 0u8..16, any::<u8>(), 0u8..5)
            .prop_map(|(key, len, back, limit)| Step::Range { key, len, back, limit }),
        3 => any::<u8>().prop_map(Step::Compact),
        6 => any::<u8>().prop_map(Step::Advance),
        3 => any::<u8>().prop_map(Step::Hash),
        1 => Just(Step::View),
        1 => Just(Step::Reopen),
    ]
}

/// Runs a transaction on both. A key is written once per transaction at most, as etcd's API demands.
pub(crate) fn run_txn(store: &Store, model: &mut EtcdModel, ops: &[Op]) -> i64 {
    let mut txn = store.write();
    let main = model.revision + 1;
    let mut sub = 0;
    let mut written = std::collections::BTreeSet::new();
    for op in ops {
        match op {
            Op::Put(key, value) => {
                let (key, value) = (
                    name(*key),
                    Bytes::from(vec![*value; usize::from(*value % 7)]),
                );
                if written.insert(key.clone()) {
                    let revision = Revision::new(main, sub);
                    assert_eq!(txn.put(key.clone(), value.clone(), 0).unwrap(), revision);
                    model.put(&key, &value, revision);
                    sub += 1;
                }
            }
            Op::Delete(key) => {
                let key = name(*key);
                if written.insert(key.clone()) {
                    let deleted = txn.delete_range(&key, &Bytes::new()).unwrap();
                    assert_eq!(deleted, model.delete(&key, None, main, &mut sub));
                }
            }
            Op::DeleteRange(from, to) => {
                let (from, to) = (name(*from), name(*to));
                if written.iter().all(|key| *key < from || to <= *key) {
                    let deleted = txn.delete_range(&from, &to).unwrap();
                    assert_eq!(deleted, model.delete(&from, Some(&to), main, &mut sub));
                    written.extend((0..16).map(name).filter(|key| from <= *key && *key < to));
                }
            }
        }
        let own = RangeOptions::prefix("k");
        let (from, to) = (own.key.clone(), own.end.clone());
        let shown = txn.range(&own).unwrap();
        assert_eq!(shown.kvs, model.range(&from, Some(&to), main));
        assert_eq!(shown.revision, model.revision + i64::from(sub > 0));
    }
    if sub > 0 {
        model.revision = main;
    }
    let revision = txn.end();
    assert_eq!(revision, model.revision);
    revision
}

fn check_range(view: &ReadView, model: &EtcdModel, key: u8, len: u8, at: i64, limit: i64) {
    let (key, end) = (name(key), name(key.saturating_add(len)));
    let single = len == 0;
    let options = RangeOptions {
        key: key.clone(),
        end: if single { Bytes::new() } else { end.clone() },
        revision: at,
        limit,
        ..RangeOptions::default()
    };
    let result = view.range(&options);
    let effective = if at == 0 { model.revision } else { at };
    if effective > model.revision {
        assert!(matches!(result, Err(Error::FutureRevision)));
        return;
    }
    if effective < model.compacted {
        assert!(matches!(result, Err(Error::Compacted)));
        return;
    }
    let result = result.unwrap();
    let mut expected = model.range(&key, (!single).then_some(&end), effective);
    assert_eq!(result.count, i64::try_from(expected.len()).unwrap());
    if limit > 0 {
        let limit = usize::try_from(limit).unwrap();
        assert_eq!(result.more, expected.len() > limit);
        expected.truncate(limit);
    }
    assert_eq!(result.kvs, expected);
    assert_eq!(result.revision, model.revision);
}

/// Every readable revision of the whole store.
pub(crate) fn check_all(view: &ReadView, model: &EtcdModel) {
    assert_eq!(view.revision(), model.revision);
    for at in model.compacted.max(1)..=model.revision {
        let all = RangeOptions::prefix("k").at(at);
        let expected = model.range(&all.key, Some(&all.end), at);
        assert_eq!(view.range(&all).unwrap().kvs, expected, "at {at}");
    }
}

/// Byte for byte what etcd would have on disk, once no compaction is under way.
pub(crate) fn check_rows(store: &Store, model: &EtcdModel) {
    let view = store.backend().view();
    let mut scan = view
        .scan(KEY, &KeyRange::all(), Direction::Forward)
        .unwrap();
    let mut expected = model.rows.iter();
    while let Some((key, value)) = scan.next().unwrap() {
        let row = RowKey::decode(&key).unwrap();
        assert_eq!(expected.next(), Some((&row, &value)));
    }
    assert_eq!(expected.next(), None);
}

fn run(steps: Vec<Step>) {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let mut store = open_on(Arc::clone(&engine), manual_options());
    let mut model = EtcdModel::new();
    let mut views: Vec<(ReadView, EtcdModel)> = Vec::new();
    let mut compacting = false;
    for step in steps {
        match step {
            Step::Txn(ops) => {
                run_txn(&store, &mut model, &ops);
            }
            Step::Range {
                key,
                len,
                back,
                limit,
            } => {
                let at = match back {
                    0..64 => 0,
                    _ => (model.revision + 2 - i64::from(back % 32)).max(0),
                };
                check_range(&store.read(), &model, key, len, at, i64::from(limit));
            }
            Step::Compact(back) => {
                let at = model.revision - i64::from(back % 16);
                if at > model.compacted {
                    // The model compacts at once; its rows are those before it until then.
                    finish_compaction(&store);
                    model.compact(at);
                    compact(&store, at);
                    compacting = true;
                }
            }
            Step::Advance(steps) => {
                for _ in 0..steps {
                    compacting &= store.step_compaction().unwrap();
                }
            }
            Step::Hash(back) => {
                let revision = (model.revision + 1 - i64::from(back % 24)).max(0);
                // The remembered hash of a compaction appears when it is finished.
                if !compacting || revision != model.compacted {
                    let hash = store.hash_kv(revision).ok().map(|hash| hash.hash);
                    assert_eq!(hash, model.hash_kv(revision), "HashKV({revision})");
                }
            }
            Step::View => views.push((store.read(), model.clone())),
            Step::Reopen => {
                drop(std::mem::take(&mut views));
                store.close().unwrap();
                store = open_on(Arc::clone(&engine), manual_options());
                model.restart();
                if compacting {
                    finish_compaction(&store);
                    compacting = false;
                }
                assert_eq!(store.revision(), model.revision);
                assert_eq!(store.compact_revision(), model.compacted);
            }
        }
    }
    views.push((store.read(), model.clone()));
    finish_compaction(&store);
    for (view, model) in &views {
        check_all(view, model);
    }
    check_rows(&store, &model);
}

proptest! {
    // 700 histories of 150 steps on average: a hundred thousand steps.
    #![proptest_config(ProptestConfig::with_cases(700))]
    #[test]
    fn a_store_reads_compacts_and_hashes_as_etcd_s_bookkeeping_says(
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        run(steps);
    }
}
