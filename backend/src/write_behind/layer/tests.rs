use bytes::Bytes;

use super::Layer;
use crate::{Bucket, Op};

const KEY: Bucket = Bucket::new("key");
const META: Bucket = Bucket::new("meta");

fn put(layer: &Layer, bucket: Bucket, key: &'static [u8], seq: u64) {
    let key = Bytes::from_static(key);
    layer.write(bucket, key.clone(), Op::Put(key), seq);
}

/// Long, short and equal prefixes, arriving in no order and in two buckets: after each step every key
/// written so far is found, and no other, one by one and together.
#[test]
fn a_key_of_the_layer_is_never_taken_for_older_than_all_of_it() {
    let keys: [&'static [u8]; 8] = [
        b"m",
        b"mmmmmmmmm2",
        b"mmmmmmmmm1",
        b"zzzzzzzzz",
        b"a\0",
        b"a",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0",
    ];
    let layer = Layer::default();
    for (n, key) in keys.iter().enumerate() {
        let (bucket, other) = if n % 2 == 0 { (KEY, META) } else { (META, KEY) };
        put(&layer, bucket, key, n as u64 + 1);
        assert_eq!(layer.get(other, key, 100), None);
        let mut answers = vec![None; keys.len()];
        layer.get_many(KEY, &keys, 100, &mut answers);
        for (m, key) in keys.iter().enumerate() {
            let bucket = if m % 2 == 0 { KEY } else { META };
            let found = layer.get(bucket, key, 100);
            assert_eq!(found.is_some(), m <= n, "{m} after {n}");
            assert_eq!(answers[m].is_some(), m <= n && m % 2 == 0, "{m} after {n}");
        }
    }
}

/// The lock that the writer takes is held all the while: a reader who asked for it would not return.
#[test]
fn a_reader_of_older_keys_waits_for_no_writer() {
    let layer = Layer::default();
    put(&layer, KEY, b"b", 1);
    let writer = layer.buckets.write();
    assert_eq!(layer.get(KEY, b"a", 1), None);
    let mut answers = vec![None; 2];
    layer.get_many(KEY, &[b"a1", b"a2"], 1, &mut answers);
    assert_eq!(answers, [None, None]);
    drop(writer);
    assert!(layer.get(KEY, b"b", 1).is_some());
}
