use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{JointConfig, MajorityConfig, NodeSet, VoteResult};
use crate::ids::NodeId;

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// From the definition, and as slowly as that: the highest index that more than half acknowledged.
fn naive_committed(voters: &MajorityConfig, acked: &BTreeMap<u64, u64>) -> Option<u64> {
    let count = voters.ids().len();
    if count == 0 {
        return None;
    }
    let reached_by = |index: u64| {
        voters
            .ids()
            .iter()
            .filter(|id| acked.get(&id.get()).is_some_and(|at| *at >= index))
            .count()
    };
    let reached = acked.values().copied();
    Some(
        reached
            .filter(|index| reached_by(*index) > count / 2)
            .max()
            .unwrap_or(0),
    )
}

fn naive_vote(voters: &MajorityConfig, votes: &BTreeMap<u64, bool>) -> VoteResult {
    // Won if it is won even when all that are missing say no; lost if not even their yes would help.
    let wins = |missing: bool| {
        let yes = voters
            .ids()
            .iter()
            .filter(|id| *votes.get(&id.get()).unwrap_or(&missing))
            .count();
        voters.is_empty() || yes > voters.ids().len() / 2
    };
    match (wins(false), wins(true)) {
        (true, _) => VoteResult::Won,
        (false, true) => VoteResult::Pending,
        (false, false) => VoteResult::Lost,
    }
}

fn voters() -> impl Strategy<Value = MajorityConfig> {
    prop::collection::btree_set(1..12_u64, 0..10)
        .prop_map(|ids| ids.into_iter().map(node).collect())
}

proptest! {
    #[test]
    fn commit_index_is_the_highest_a_majority_reached(
        incoming in voters(),
        outgoing in voters(),
        acked in prop::collection::btree_map(1..12_u64, 0..20_u64, 0..12),
    ) {
        let lookup = |id: NodeId| acked.get(&id.get()).copied();
        prop_assert_eq!(incoming.committed(lookup), naive_committed(&incoming, &acked));
        let halves = [naive_committed(&incoming, &acked), naive_committed(&outgoing, &acked)];
        let expected = halves.into_iter().flatten().min();
        let joint = JointConfig { incoming, outgoing };
        prop_assert_eq!(joint.committed(lookup), expected);
    }

    #[test]
    fn votes_are_decided_when_no_missing_vote_can_change_them(
        incoming in voters(),
        outgoing in voters(),
        votes in prop::collection::btree_map(1..12_u64, any::<bool>(), 0..12),
    ) {
        let lookup = |id: NodeId| votes.get(&id.get()).copied();
        let (a, b) = (naive_vote(&incoming, &votes), naive_vote(&outgoing, &votes));
        prop_assert_eq!(incoming.vote_result(lookup), a);
        let expected = match (a, b) {
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            _ => VoteResult::Pending,
        };
        prop_assert_eq!(JointConfig { incoming, outgoing }.vote_result(lookup), expected);
    }

    #[test]
    fn a_node_set_is_a_sorted_set(operations in prop::collection::vec((any::<bool>(), 1..20_u64), 0..60)) {
        let (mut set, mut model) = (NodeSet::new(), std::collections::BTreeSet::new());
        for (insert, id) in operations {
            let id = node(id);
            if insert {
                prop_assert_eq!(set.insert(id), model.insert(id));
            } else {
                prop_assert_eq!(set.remove(id), model.remove(&id));
            }
            prop_assert_eq!(set.contains(id), model.contains(&id));
        }
        prop_assert!(set.iter().eq(model));
    }
}
