//! What is decided without a core.
use varve_proto::raftpb::{ConfChangeSingle, ConfChangeV2};

use super::*;

#[test]
fn simple_changes_move_members_between_voters_and_learners() {
    let mut conf_state = ConfState {
        voters: vec![1, 3],
        ..ConfState::default()
    };
    let mut change = |kind: ConfChangeType, node_id| {
        let single = ConfChangeSingle {
            r#type: kind as i32,
            node_id,
        };
        let change = ConfChangeV2 {
            changes: vec![single],
            ..ConfChangeV2::default()
        };
        change_simply(&mut conf_state, &change);
        (conf_state.voters.clone(), conf_state.learners.clone())
    };
    let (add, learn) = (
        ConfChangeType::ConfChangeAddNode,
        ConfChangeType::ConfChangeAddLearnerNode,
    );
    assert_eq!(change(learn, 2), (vec![1, 3], vec![2]));
    assert_eq!(change(add, 2), (vec![1, 2, 3], vec![]));
    assert_eq!(
        change(ConfChangeType::ConfChangeUpdateNode, 1),
        (vec![1, 2, 3], vec![])
    );
    assert_eq!(
        change(ConfChangeType::ConfChangeRemoveNode, 1),
        (vec![2, 3], vec![])
    );
    assert_eq!(
        change(add, NONE),
        (vec![2, 3], vec![]),
        "a rejected change changes nothing"
    );
}
