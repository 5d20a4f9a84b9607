use bytes::Bytes;

use super::{Batch, Op};
use crate::Bucket;

const A: Bucket = Bucket::new("a");
const B: Bucket = Bucket::new("b");

fn b(s: &'static str) -> Bytes {
    Bytes::from_static(s.as_bytes())
}

#[test]
fn operations_come_out_sorted_and_the_last_one_wins() {
    let mut batch = Batch::new();
    batch.put(B, b("k2"), b("x"));
    batch.put(A, b("z"), b("1"));
    batch.delete(B, b("k1"));
    batch.put(B, b("k3"), b("y"));
    batch.delete(B, b("k2"));
    assert_eq!(batch.buckets().collect::<Vec<_>>(), [A, B]);
    let ops: Vec<_> = batch
        .ops(B)
        .map(|(k, op)| (k.clone(), op.clone()))
        .collect();
    assert_eq!(
        ops,
        [
            (b("k1"), Op::Delete),
            (b("k2"), Op::Delete),
            (b("k3"), Op::Put(b("y")))
        ]
    );
    assert_eq!(batch.len(), 4);
    assert_eq!(batch.bytes(), 2 * 3 + 1 + 1 + 1);
}

/// Operations jump between buckets, one of which comes before all others late, and one is known by two
/// addresses of the same name.
#[test]
fn every_operation_finds_its_bucket_whatever_came_before() {
    let again = Bucket::new(String::from("b").leak());
    let mut batch = Batch::new();
    for (bucket, key) in [
        (B, "1"),
        (B, "2"),
        (A, "3"),
        (B, "4"),
        (again, "5"),
        (A, "6"),
    ] {
        batch.put(bucket, b(key), b("v"));
    }
    batch.delete(B, b("7"));
    let keys = |bucket| {
        batch
            .ops(bucket)
            .map(|(k, _)| k.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(A), [b("3"), b("6")]);
    assert_eq!(keys(B), [b("1"), b("2"), b("4"), b("5"), b("7")]);
    assert_eq!((batch.ops_len(A), batch.ops_len(B)), (2, 5));
    assert_eq!(batch.ops_len(Bucket::new("c")), 0);
    assert!(batch.creates(A) && batch.creates(B));
}

#[test]
fn deleting_a_bucket_forgets_what_the_batch_said_of_it_before() {
    let mut batch = Batch::new();
    batch.put(A, b("k"), b("v"));
    batch.delete_bucket(A);
    assert!(batch.removes(A) && !batch.creates(A));
    assert_eq!((batch.ops(A).count(), batch.bytes()), (0, 0));
    batch.put(A, b("n"), b("w"));
    assert!(batch.removes(A) && batch.creates(A));
    assert_eq!(batch.ops(A).count(), 1);
}

#[test]
fn a_batch_that_changes_nothing_is_empty() {
    let mut batch = Batch::new();
    assert!(batch.is_empty());
    batch.create_bucket(A);
    assert!(!batch.is_empty());
    assert_eq!(batch.len(), 0);
}

#[test]
fn keys_no_engine_can_store_are_refused() {
    let mut empty = Batch::new();
    empty.put(A, Bytes::new(), b("v"));
    assert!(empty.validate().is_err());
    let mut long = Batch::new();
    long.put(A, Bytes::from(vec![0; crate::MAX_KEY_LEN + 1]), b("v"));
    assert!(long.validate().is_err());
    let mut fits = Batch::new();
    fits.put(A, Bytes::from(vec![0; crate::MAX_KEY_LEN]), b("v"));
    assert!(fits.validate().is_ok());
}
