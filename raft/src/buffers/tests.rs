use varve_proto::raftpb::{Entry, Message};

use super::{Buffers, KEPT, LARGEST_BYTES, Pool};

#[test]
fn what_is_taken_is_empty_and_uses_what_was_given_back() {
    let mut pool = Pool::default();
    pool.give(vec![1_u64, 2, 3]);
    let taken = pool.take();
    assert!(taken.is_empty() && taken.capacity() >= 3);
    assert_eq!(pool.take().capacity(), 0, "there was but one");
}

#[test]
fn what_is_kept_is_bounded_in_number_and_in_size() {
    let mut pool = Pool::default();
    for _ in 0..2 * KEPT {
        pool.give(vec![1_u64]);
    }
    let kept = std::iter::repeat_with(|| pool.take()).take_while(|vector| vector.capacity() > 0);
    assert_eq!(kept.count(), KEPT);
    pool.give(vec![1_u64; LARGEST_BYTES / size_of::<u64>() + 1]);
    assert_eq!(pool.take().capacity(), 0, "too large to keep");
    pool.give(Vec::new());
    assert!(pool.free.is_empty(), "nothing is gained by it");
}

#[test]
fn a_message_gives_its_vectors_and_a_copy_takes_one() {
    let mut buffers = Buffers::default();
    let mut message = Message {
        entries: vec![Entry::default()],
        responses: vec![Message::default()],
        ..Message::default()
    };
    buffers.reclaim(&mut message);
    assert_eq!(message, Message::default());
    let entries = [Entry {
        index: 7,
        ..Entry::default()
    }];
    assert_eq!(buffers.copy(&entries), entries);
    assert_eq!(buffers.copy(&[]).capacity(), 0);
    assert!(buffers.messages.take().capacity() > 0);
}
