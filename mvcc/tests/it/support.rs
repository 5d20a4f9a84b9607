//! Opening stores and reading what they answer.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use varve_backend::{Backend, BackendOptions, Engine, MemoryEngine};
use varve_mvcc::{Publish, RangeOptions, ReadView, Store, StoreOptions, WatchStream};
use varve_proto::mvccpb::{Event, KeyValue};

pub(crate) fn manual_options() -> StoreOptions {
    StoreOptions {
        manual: true,
        compaction_batch_limit: 3,
        // The one with more to it; `threads.rs` has the other one.
        publish: Publish::WhenRead,
        ..StoreOptions::default()
    }
}

pub(crate) fn open_on(engine: Arc<dyn Engine>, options: StoreOptions) -> Store {
    let backend = Backend::open(engine, BackendOptions::manual()).unwrap();
    Store::open(backend, options).unwrap()
}

/// A store in memory that does nothing by itself.
pub(crate) fn open() -> Store {
    open_on(Arc::new(MemoryEngine::new()), manual_options())
}

pub(crate) fn put(store: &Store, key: &str, value: &str) -> i64 {
    put_with_lease(store, key, value, 0)
}

pub(crate) fn put_with_lease(store: &Store, key: &str, value: &str, lease: i64) -> i64 {
    let mut txn = store.write();
    txn.put(owned(key), owned(value), lease).unwrap();
    txn.end()
}

pub(crate) fn delete(store: &Store, key: &str) -> i64 {
    let mut txn = store.write();
    txn.delete_range(&owned(key), &Bytes::new()).unwrap();
    txn.end()
}

pub(crate) fn compact(store: &Store, revision: i64) {
    let mut txn = store.write();
    txn.compact(revision).unwrap();
    txn.end();
}

pub(crate) fn compact_fully(store: &Store, revision: i64) {
    compact(store, revision);
    finish_compaction(store);
    assert!(store.compaction_done(revision));
}

pub(crate) fn finish_compaction(store: &Store) {
    while store.step_compaction().unwrap() {}
}

pub(crate) fn owned(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn decode(kvs: &[Bytes]) -> Vec<KeyValue> {
    let decoded = kvs.iter().map(|kv| KeyValue::decode(kv.clone()).unwrap());
    decoded.collect()
}

pub(crate) fn get(view: &ReadView, options: &RangeOptions) -> Vec<KeyValue> {
    decode(&view.range(options).unwrap().kvs)
}

/// `key=value` of every pair.
pub(crate) fn pairs(view: &ReadView, options: &RangeOptions) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let kvs = get(view, options);
    kvs.iter()
        .map(|kv| format!("{}={}", text(&kv.key), text(&kv.value)))
        .collect()
}

pub(crate) fn all() -> RangeOptions {
    RangeOptions::prefix("")
}

pub(crate) fn event(bytes: &Bytes) -> Event {
    Event::decode(bytes.clone()).unwrap()
}

/// A stream that nobody needs to wake.
pub(crate) fn stream(store: &Store) -> WatchStream {
    store.watch_stream(Arc::new(|| {}))
}
