use proptest::prelude::*;
use varve_proto::raftpb::Message;

use super::ReadQueue;
use crate::ids::{Index, NodeId};
use crate::quorum::JointConfig;

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn voters(ids: &[u64]) -> JointConfig {
    JointConfig {
        incoming: ids.iter().map(|id| node(*id)).collect(),
        ..JointConfig::default()
    }
}

fn push(queue: &mut ReadQueue, index: u64) {
    queue.push(Index::new(index), Message::default());
    queue.acknowledge_all(node(1));
}

fn confirmed(queue: &mut ReadQueue) -> Vec<u64> {
    queue
        .take_confirmed(&voters(&[1, 2, 3]))
        .iter()
        .map(|read| read.index.get())
        .collect()
}

#[test]
fn an_echo_confirms_what_had_arrived_when_its_heartbeat_left() {
    let mut queue = ReadQueue::default();
    assert_eq!(queue.heartbeat_context(), None);
    push(&mut queue, 10);
    push(&mut queue, 11);
    let early = queue.heartbeat_context().unwrap();
    push(&mut queue, 12);
    assert_eq!(confirmed(&mut queue), [0; 0]);
    queue.echoed(node(2), &early);
    assert_eq!(confirmed(&mut queue), [10, 11]);
    queue.echoed(node(3), &early);
    assert_eq!(confirmed(&mut queue), [0; 0]);
    let late = queue.heartbeat_context().unwrap();
    queue.echoed(node(3), &late);
    assert_eq!(confirmed(&mut queue), [12]);
    assert_eq!(queue.heartbeat_context(), None);
}

#[test]
fn echoes_are_read_defensively() {
    let mut queue = ReadQueue::default();
    push(&mut queue, 10);
    for context in [
        &b""[..],
        b"1234567",
        b"123456789",
        &[0xff; 8],
        &2_u64.to_le_bytes(),
    ] {
        queue.echoed(node(2), context);
        queue.echoed(node(3), context);
        assert_eq!(confirmed(&mut queue), [0; 0], "{context:?}");
    }
    queue.echoed(node(2), &1_u64.to_le_bytes());
    assert_eq!(confirmed(&mut queue), [10]);
}

#[test]
fn without_voters_there_is_no_more_than_what_waits() {
    let mut queue = ReadQueue::default();
    push(&mut queue, 10);
    assert_eq!(queue.take_confirmed(&voters(&[])).len(), 1);
    assert_eq!(queue.take_confirmed(&voters(&[])).len(), 0);
}

proptest! {
    /// Against the definition: a read is confirmed once a quorum echoed a heartbeat that left after it
    /// arrived.
    #[test]
    fn reads_are_confirmed_by_a_quorum_of_later_heartbeats(
        steps in prop::collection::vec((0..5_u8, 1..4_u64), 1..80),
    ) {
        let mut queue = ReadQueue::default();
        let (mut arrived, mut answered): (u64, u64) = (0, 0);
        let mut under_way: Vec<(u64, bytes::Bytes, u64)> = Vec::new();
        let mut heard = [0_u64; 4];
        for (step, member) in steps {
            match step {
                0 => {
                    arrived += 1;
                    push(&mut queue, arrived);
                    heard[1] = arrived;
                }
                1 | 2 => {
                    if let Some(context) = queue.heartbeat_context() {
                        under_way.push((member, context, arrived));
                    }
                }
                // Delivered late, in any order, and more than once.
                _ => {
                    let at = usize::try_from(member).unwrap() * 7 % under_way.len().max(1);
                    if let Some((member, context, when)) = under_way.get(at).cloned() {
                        queue.echoed(node(member), &context);
                        let at = usize::try_from(member).unwrap();
                        heard[at] = heard[at].max(when);
                    }
                }
            }
            let mut sorted = heard[1..].to_vec();
            sorted.sort_unstable();
            let expected: Vec<u64> = (answered + 1..=sorted[1]).collect();
            prop_assert_eq!(confirmed(&mut queue), expected);
            answered = answered.max(sorted[1]);
        }
    }
}
