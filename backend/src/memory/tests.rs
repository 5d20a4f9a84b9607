use bytes::Bytes;

use super::MemoryEngine;
use crate::{Batch, Bucket, Engine, Error};

const B: Bucket = Bucket::new("b");

fn put(key: &'static str, value: &'static str) -> Batch {
    let mut batch = Batch::new();
    batch.put(B, Bytes::from(key), Bytes::from(value));
    batch
}

#[test]
fn a_snapshot_does_not_see_later_commits() {
    let engine = MemoryEngine::new();
    engine.commit(&put("k", "1")).unwrap();
    let before = engine.snapshot().unwrap();
    engine.commit(&put("k", "2")).unwrap();
    assert_eq!(before.get(B, b"k").unwrap().unwrap(), "1");
    assert_eq!(
        engine.snapshot().unwrap().get(B, b"k").unwrap().unwrap(),
        "2"
    );
    assert_eq!(engine.sizes().open_readers, 1);
}

#[test]
fn a_failed_commit_applies_nothing_and_poisons() {
    let engine = MemoryEngine::new();
    engine.fail_next_commit(Error::invalid("test"));
    assert!(engine.commit(&put("k", "1")).is_err());
    assert!(engine.commit(&put("k", "1")).unwrap_err().is_poisoned());
    assert!(!engine.snapshot().unwrap().has_bucket(B).unwrap());
}
