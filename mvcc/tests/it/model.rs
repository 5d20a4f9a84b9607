//! Random histories with crashes, in memory and on a simulated disk, compared with etcd's bookkeeping
//! step by step. Crashes at each single operation of the disk: `crash.rs`; watches: `watch_model.rs`.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::{Direction, Engine, KeyRange, MemoryEngine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::schema::{self, KEY};
use varve_mvcc::{Error, RangeOptions, ReadView, Revision, RowKey, Store};
use varve_vfs::{CrashRule, SimFs};

use crate::etcd_model::EtcdModel;
use crate::support::{finish_compaction, manual_options, open_on};

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
    Commit,
    Reopen,
    Crash,
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
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
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
    model.applied += 1;
    txn.set_applied(model.applied, 1);
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

/// What a run works on: engines that can lose what was not synced.
trait Bed {
    fn open(&self) -> Store;
    /// What a loss of power leaves, for any store that is open now.
    fn crash(&mut self);
}

struct InMemory(Arc<dyn Engine>);

impl Bed for InMemory {
    fn open(&self) -> Store {
        open_on(Arc::clone(&self.0), manual_options())
    }
    /// What was not committed lives in the store, which is dropped.
    fn crash(&mut self) {}
}

struct OnDisk {
    fs: SimFs,
    crashes: u64,
}

impl Bed for OnDisk {
    fn open(&self) -> Store {
        let options = BtreeOptions {
            page_size: 512,
            initial_map_bytes: 0,
            mmap: false,
            ..BtreeOptions::default()
        };
        let engine = BtreeEngine::open(self.fs.shared(), "/db", options).unwrap();
        open_on(Arc::new(engine), manual_options())
    }
    fn crash(&mut self) {
        self.crashes += 1;
        let rules = CrashRule::ALL;
        let nth = usize::try_from(self.crashes).unwrap() % rules.len();
        self.fs = self.fs.crash_image(rules[nth], self.crashes);
    }
}

/// Every revision from `at` on, as the store reads it.
fn readable(store: &Store, at: i64, newest: i64) -> Vec<Vec<Bytes>> {
    let view = store.read();
    let all = RangeOptions::prefix("k");
    (at..=newest)
        .map(|at| view.range(&all.clone().at(at)).unwrap().kvs)
        .collect()
}

fn run(steps: Vec<Step>, mut bed: impl Bed) {
    let mut store = bed.open();
    let mut model = EtcdModel::new();
    // The model after each raft index: one of them is what a crash leaves.
    let mut history = vec![model.clone()];
    let mut views: Vec<(ReadView, EtcdModel)> = Vec::new();
    let mut compacting = false;
    // What could be read when a compaction was accepted must read the same ever after.
    let mut kept: Option<(i64, Vec<Vec<Bytes>>)> = None;
    for step in steps {
        match step {
            Step::Txn(ops) => {
                run_txn(&store, &mut model, &ops);
                history.push(model.clone());
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
                    // A read at 0 would be one at the newest revision.
                    kept = Some((at, readable(&store, at.max(1), model.revision)));
                    model.compact(at);
                    let mut txn = store.write();
                    txn.compact(at).unwrap();
                    model.applied += 1;
                    txn.set_applied(model.applied, 1);
                    txn.end();
                    history.push(model.clone());
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
            Step::Commit => {
                store.backend().commit_due().unwrap();
            }
            Step::Reopen | Step::Crash => {
                drop(std::mem::take(&mut views));
                if matches!(step, Step::Reopen) {
                    store.close().unwrap();
                } else {
                    bed.crash();
                    kept = None;
                }
                drop(store);
                store = bed.open();
                let applied = schema::consistent_index(&store.backend().view()).unwrap();
                let applied = usize::try_from(applied.unwrap_or(0)).unwrap();
                if matches!(step, Step::Reopen) {
                    assert_eq!(applied + 1, history.len(), "a closed store loses nothing");
                }
                // The log would be replayed from here; these histories go another way.
                history.truncate(applied + 1);
                model = history[applied].clone();
                model.restart();
                assert_eq!(store.revision(), model.revision);
                assert_eq!(store.compact_revision(), model.compacted);
                finish_compaction(&store);
                compacting = false;
                check_rows(&store, &model);
            }
        }
        if let Some((at, before)) = &kept
            && !compacting
            && model.compacted == *at
        {
            let oldest = (*at).max(1);
            let newest = oldest + i64::try_from(before.len()).unwrap() - 1;
            assert!(
                readable(&store, oldest, newest) == *before,
                "compacted at {at}"
            );
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
        run(steps, InMemory(Arc::new(MemoryEngine::new())));
    }

    #[test]
    fn a_store_on_a_disk_does_the_same(
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        run(steps, OnDisk { fs: SimFs::new(), crashes: 0 });
    }
}
