use proptest::prelude::*;
use varve_proto::raftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    Entry, EntryType,
};

use super::{
    Change, Changer, ConfChangeError, ConfChangeExt, Mode, decode_entry, leave_joint_entry, mode,
    parse_conf_changes,
};
use crate::describe::describe_conf_changes;
use crate::ids::{Index, NodeId};
use crate::tracker::{InflightLimits, Tracker};

const LAST: Index = Index::new(10);

const LIMITS: InflightLimits = InflightLimits {
    messages: 10,
    bytes: 0,
};

fn changes(text: &str) -> Vec<ConfChangeSingle> {
    parse_conf_changes(text).unwrap()
}

fn adopt(tracker: &mut Tracker, change: Change) {
    (tracker.config, tracker.progress) = change;
}

/// A configuration reached by simple changes, one by one.
fn tracker(text: &str) -> Tracker {
    let mut tracker = Tracker::new(LIMITS);
    for change in changes(text) {
        let changed = Changer {
            tracker: &tracker,
            last_index: LAST,
        }
        .simple(&[change])
        .unwrap();
        adopt(&mut tracker, changed);
    }
    tracker
}

#[test]
fn short_notation_reads_what_it_writes_and_refuses_the_rest() {
    let text = "v1 l2 r3 u4";
    assert_eq!(describe_conf_changes(&changes(text)), text);
    assert_eq!(changes("  "), []);
    for bad in ["v", "x1", "vx", "v-1", "1", "v18446744073709551616"] {
        assert!(parse_conf_changes(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_change_that_etcd_rejected_on_apply_changes_nothing() {
    // etcd sets the node to zero then, and every member has to skip it.
    let tracker = tracker("v1 v2");
    let changer = Changer {
        tracker: &tracker,
        last_index: LAST,
    };
    for text in ["v0", "l0", "r0", "u0"] {
        let (config, progress) = changer.simple(&changes(text)).unwrap();
        assert_eq!(config, tracker.config);
        assert_eq!(progress, tracker.progress);
    }
}

#[test]
fn unknown_kinds_are_refused_and_kept_as_numbers() {
    let tracker = tracker("v1");
    let changer = Changer {
        tracker: &tracker,
        last_index: LAST,
    };
    let unknown = ConfChangeSingle {
        r#type: 77,
        node_id: 2,
    };
    assert_eq!(
        changer.simple(&[unknown]),
        Err(ConfChangeError::UnknownType(77))
    );
    let change = ConfChangeV2 {
        transition: -5,
        ..ConfChangeV2::default()
    };
    assert_eq!(mode(&change), Err(ConfChangeError::UnknownTransition(-5)));
}

#[test]
fn how_a_change_is_carried_out_follows_from_its_number_and_its_wish() {
    use ConfChangeTransition::{Auto, JointExplicit, JointImplicit};
    let joint = |auto_leave| Mode::EnterJoint { auto_leave };
    let table = [
        (Auto, "", Mode::LeaveJoint),
        (Auto, "v1", Mode::Simple),
        (Auto, "v1 v2", joint(true)),
        (JointImplicit, "v1", joint(true)),
        (JointImplicit, "", joint(true)),
        (JointExplicit, "v1 v2", joint(false)),
        (JointExplicit, "", joint(false)),
    ];
    for (transition, text, expected) in table {
        let change = ConfChangeV2 {
            transition: transition as i32,
            changes: changes(text),
            context: None,
        };
        assert_eq!(mode(&change), Ok(expected), "{transition:?} {text}");
    }
}

#[test]
fn entries_carry_either_kind_and_nothing_means_leaving() {
    let v1 = ConfChange {
        r#type: ConfChangeType::ConfChangeAddLearnerNode as i32,
        node_id: 7,
        ..ConfChange::default()
    };
    let entry = v1.to_entry();
    assert_eq!(entry.r#type(), EntryType::EntryConfChange);
    assert_eq!(decode_entry(&entry).unwrap(), Some(v1.to_v2()));
    let v2 = ConfChangeV2 {
        changes: changes("v1 r2"),
        ..ConfChangeV2::default()
    };
    let entry = v2.to_entry();
    assert_eq!(entry.r#type(), EntryType::EntryConfChangeV2);
    assert_eq!(decode_entry(&entry).unwrap(), Some(v2));

    let leave = leave_joint_entry();
    assert_eq!(crate::entry::payload_size(&leave), 0);
    assert_eq!(
        mode(&decode_entry(&leave).unwrap().unwrap()),
        Ok(Mode::LeaveJoint)
    );
    assert_eq!(decode_entry(&Entry::default()).unwrap(), None);
    assert_eq!(
        decode_entry(&Entry {
            r#type: 99,
            ..Entry::default()
        })
        .unwrap(),
        None
    );
}

#[test]
fn bytes_that_are_no_change_are_an_error() {
    for kind in [EntryType::EntryConfChange, EntryType::EntryConfChangeV2] {
        let data = Some(bytes::Bytes::from_static(&[0xff; 7]));
        let entry = Entry {
            r#type: kind as i32,
            data,
            ..Entry::default()
        };
        assert!(matches!(
            decode_entry(&entry),
            Err(ConfChangeError::Undecodable(_))
        ));
    }
}

#[test]
fn a_voter_that_becomes_a_learner_waits_for_the_joint_change_to_end() {
    let mut tracker = tracker("v1 v2 v3");
    let changer = Changer {
        tracker: &tracker,
        last_index: LAST,
    };
    let entered = changer.enter_joint(false, &changes("l3 v4")).unwrap();
    adopt(&mut tracker, entered);
    assert_eq!(
        tracker.config.to_string(),
        "voters=(1 2 4)&&(1 2 3) learners_next=(3)"
    );
    assert!(
        !tracker
            .progress
            .get(NodeId::new(3).unwrap())
            .unwrap()
            .is_learner
    );
    let left = Changer {
        tracker: &tracker,
        last_index: LAST,
    }
    .leave_joint()
    .unwrap();
    adopt(&mut tracker, left);
    assert_eq!(tracker.config.to_string(), "voters=(1 2 4) learners=(3)");
    assert!(
        tracker
            .progress
            .get(NodeId::new(3).unwrap())
            .unwrap()
            .is_learner
    );
}

#[test]
fn what_breaks_the_rules_is_refused_as_a_whole() {
    let present = tracker("v1 v2 v3 l4");
    let changer = Changer {
        tracker: &present,
        last_index: LAST,
    };
    assert_eq!(
        changer.simple(&changes("r1 r2")),
        Err(ConfChangeError::TooManyVoters)
    );
    assert_eq!(changer.leave_joint(), Err(ConfChangeError::NotJoint));
    assert_eq!(
        changer.enter_joint(true, &changes("r1 r2 r3")),
        Err(ConfChangeError::NoVotersLeft)
    );
    let empty = Tracker::new(LIMITS);
    let changer = Changer {
        tracker: &empty,
        last_index: LAST,
    };
    assert_eq!(
        changer.enter_joint(true, &[]),
        Err(ConfChangeError::NoVotersToJoin)
    );
    assert_eq!(
        changer.simple(&changes("l1")),
        Err(ConfChangeError::NoVotersLeft)
    );
}

#[test]
fn a_recorded_configuration_that_contradicts_itself_is_refused() {
    let state = |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64]| ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        voters_outgoing: outgoing.to_vec(),
        learners_next: next.to_vec(),
        auto_leave: false,
    };
    let tracker = Tracker::new(LIMITS);
    let changer = Changer {
        tracker: &tracker,
        last_index: LAST,
    };
    assert!(
        changer.restore(&state(&[], &[], &[], &[])).is_ok(),
        "nobody yet"
    );
    let bad = [
        state(&[1, 1], &[], &[], &[]),
        state(&[1], &[1], &[], &[]),
        state(&[], &[1], &[], &[]),
        state(&[0], &[], &[], &[]),
        state(&[1, 0], &[], &[], &[]),
        state(&[1], &[], &[], &[2]),
        state(&[1], &[2], &[2], &[]),
        state(&[], &[], &[1], &[]),
        ConfState {
            auto_leave: true,
            ..state(&[1], &[], &[], &[])
        },
    ];
    for state in bad {
        assert!(changer.restore(&state).is_err(), "{state:?}");
    }
}

/// Any recorded configuration: voters, learners, and for a joint one what is on the way out.
fn conf_states() -> impl Strategy<Value = ConfState> {
    let ids: Vec<u64> = (1..16).collect();
    (
        Just(ids).prop_shuffle(),
        1..5_usize,
        0..4_usize,
        0..4_usize,
        0..4_usize,
        any::<bool>(),
    )
        .prop_map(|(ids, voters, learners, removed, demoted, auto_leave)| {
            let mut ids = ids.into_iter();
            let mut take = |count| ids.by_ref().take(count).collect::<Vec<u64>>();
            let (voters, learners) = (take(voters), take(learners));
            let (removed, learners_next) = (take(removed), take(demoted));
            let mut voters_outgoing = [removed, learners_next.clone()].concat();
            let joint = !voters_outgoing.is_empty();
            if joint {
                // Some voters stay.
                voters_outgoing.extend(voters.iter().copied().filter(|id| id % 2 == 0));
            }
            ConfState {
                voters,
                learners,
                voters_outgoing,
                learners_next,
                auto_leave: auto_leave && joint,
            }
        })
}

fn kinds() -> impl Strategy<Value = Vec<ConfChangeSingle>> {
    let single = (0..4_i32, 0..6_u64).prop_map(|(kind, node_id)| ConfChangeSingle {
        r#type: kind,
        node_id,
    });
    prop::collection::vec(single, 0..6)
}

proptest! {
    #[test]
    fn what_was_recorded_is_restored(state in conf_states()) {
        let empty = Tracker::new(LIMITS);
        let mut tracker = Tracker::new(LIMITS);
        let change = Changer { tracker: &empty, last_index: LAST }.restore(&state);
        adopt(&mut tracker, change.unwrap());
        let mut expected = state;
        for ids in [
            &mut expected.voters,
            &mut expected.learners,
            &mut expected.voters_outgoing,
            &mut expected.learners_next,
        ] {
            ids.sort_unstable();
        }
        prop_assert_eq!(tracker.conf_state(), expected);
    }

    /// A joint change and its end lead to where the same changes lead one by one.
    #[test]
    fn a_joint_change_leads_where_single_steps_do(setup in kinds(), wanted in kinds()) {
        let start = |text| tracker(text);
        let (mut one_by_one, mut joint) = (start("v9"), start("v9"));
        for change in setup {
            let changed = Changer { tracker: &one_by_one, last_index: LAST }.simple(&[change]);
            if let Ok(changed) = changed {
                adopt(&mut one_by_one, changed.clone());
                adopt(&mut joint, changed);
            }
        }
        for change in &wanted {
            let changed = Changer { tracker: &one_by_one, last_index: LAST }.simple(&[*change]);
            adopt(&mut one_by_one, changed.unwrap());
        }
        let entered = Changer { tracker: &joint, last_index: LAST }.enter_joint(false, &wanted);
        adopt(&mut joint, entered.unwrap());
        // Entering twice and simple changes are refused meanwhile.
        let changer = Changer { tracker: &joint, last_index: LAST };
        prop_assert_eq!(changer.enter_joint(false, &wanted), Err(ConfChangeError::AlreadyJoint));
        prop_assert_eq!(changer.simple(&[]), Err(ConfChangeError::SimpleInJoint));
        let left = changer.leave_joint();
        adopt(&mut joint, left.unwrap());
        prop_assert_eq!(&joint.config, &one_by_one.config);
        let members = |tracker: &Tracker| {
            tracker.progress.iter().map(|(id, progress)| (id, progress.is_learner)).collect::<Vec<_>>()
        };
        prop_assert_eq!(members(&joint), members(&one_by_one));
    }
}
