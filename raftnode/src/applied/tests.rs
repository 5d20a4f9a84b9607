use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::*;

#[test]
fn waiters_are_called_once_their_index_is_reached() {
    let applied = AppliedIndex::default();
    let called = Arc::new(AtomicU32::new(0));
    let call = |bit: u32| -> Waiter {
        let called = Arc::clone(&called);
        Box::new(move || {
            called.fetch_add(bit, Ordering::SeqCst);
        })
    };
    applied.advance(3);
    applied.when(3, call(1));
    assert_eq!(called.load(Ordering::SeqCst), 1);
    applied.when(5, call(10));
    applied.when(7, call(100));
    applied.advance(4);
    assert_eq!(called.load(Ordering::SeqCst), 1);
    applied.advance(6);
    assert_eq!(called.load(Ordering::SeqCst), 11);
    applied.advance(9);
    assert_eq!(called.load(Ordering::SeqCst), 111);
    assert_eq!(applied.waiting.load(Ordering::SeqCst), 0);
}
