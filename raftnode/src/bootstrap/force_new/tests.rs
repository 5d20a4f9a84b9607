//! Which changes leave a member alone, and what a log says afterwards.
use std::path::Path;

use varve_proto::raftpb::ConfChangeSingle;
use varve_vfs::SimFs;
use varve_wal::WalOptions;

use super::*;
use crate::bootstrap::{create, open};
use crate::membership::cluster_id;

fn member(id: u64) -> Member {
    Member {
        id,
        peer_urls: vec![format!("http://10.0.0.{id}:2380")],
        ..Member::default()
    }
}

fn kinds(changes: &[ConfChange]) -> Vec<(i32, u64)> {
    changes.iter().map(|c| (c.r#type, c.node_id)).collect()
}

const ADD: i32 = ConfChangeType::ConfChangeAddNode as i32;
const REMOVE: i32 = ConfChangeType::ConfChangeRemoveNode as i32;

#[test]
fn the_others_are_removed_and_the_member_itself_is_added_or_promoted_first() {
    let voter = Members::from([(1, false), (2, false), (3, true)]);
    assert_eq!(
        kinds(&changes_to_alone(&voter, 1, &member(1))),
        [(REMOVE, 2), (REMOVE, 3)]
    );
    let unknown = Members::from([(2, false)]);
    assert_eq!(
        kinds(&changes_to_alone(&unknown, 1, &member(1))),
        [(ADD, 1), (REMOVE, 2)]
    );
    let learner = Members::from([(1, true), (2, false)]);
    let changes = changes_to_alone(&learner, 1, &member(1));
    assert_eq!(kinds(&changes), [(ADD, 1), (REMOVE, 2)]);
    let context = changes[0].context.as_deref().unwrap();
    let context: ConfChangeContext = serde_json::from_slice(context).unwrap();
    assert!(context.is_promote);
    assert!(changes_to_alone(&Members::from([(1, false)]), 1, &member(1)).is_empty());
}

#[test]
fn both_forms_of_conf_changes_are_followed() {
    let mut members = Members::new();
    let v1 = |kind: ConfChangeType, id| Entry {
        r#type: EntryType::EntryConfChange as i32,
        data: Some(
            ConfChange {
                r#type: kind as i32,
                node_id: id,
                ..ConfChange::default()
            }
            .encode_to_vec()
            .into(),
        ),
        ..Entry::default()
    };
    for id in 1..=3 {
        follow(&mut members, &v1(ConfChangeType::ConfChangeAddNode, id)).unwrap();
    }
    follow(
        &mut members,
        &v1(ConfChangeType::ConfChangeAddLearnerNode, 4),
    )
    .unwrap();
    follow(&mut members, &v1(ConfChangeType::ConfChangeRemoveNode, 2)).unwrap();
    follow(&mut members, &v1(ConfChangeType::ConfChangeUpdateNode, 9)).unwrap();
    let single = |kind: ConfChangeType, node_id| ConfChangeSingle {
        r#type: kind as i32,
        node_id,
    };
    let v2 = ConfChangeV2 {
        changes: vec![
            single(ConfChangeType::ConfChangeAddNode, 4),
            single(ConfChangeType::ConfChangeRemoveNode, 3),
        ],
        ..ConfChangeV2::default()
    };
    let entry = Entry {
        r#type: EntryType::EntryConfChangeV2 as i32,
        data: Some(v2.encode_to_vec().into()),
        ..Entry::default()
    };
    follow(&mut members, &entry).unwrap();
    assert_eq!(members, Members::from([(1, false), (4, false)]));
    let broken = Entry {
        data: Some(bytes::Bytes::from_static(b"\xff")),
        ..entry
    };
    follow(&mut members, &broken).unwrap_err();
}

#[test]
fn the_log_on_disk_ends_with_the_removals_in_place_of_what_was_not_committed() {
    let fs = SimFs::new().shared();
    let (wal, snap) = (Path::new("/m/wal"), Path::new("/m/snap"));
    fs.create_dir_all(snap, 0o700).unwrap();
    let members = [member(1), member(2), member(3)];
    let id = cluster_id([1, 2, 3]);
    let mut boot = create(&fs, wal, snap, &members, 1, id, WalOptions::default()).unwrap();
    let normal = |index| Entry {
        term: 2,
        index,
        ..Entry::default()
    };
    let state = HardState {
        term: 2,
        vote: 1,
        commit: 5,
    };
    let entries: Vec<_> = (4..=8).map(normal).collect();
    boot.appender.save(Some(&state), &entries, true).unwrap();
    drop(boot);

    let mut boot = open(&fs, wal, snap, WalOptions::default()).unwrap();
    let removed = boot.force_new_cluster(&member(1)).unwrap();
    assert_eq!(removed, BTreeSet::from([2, 3]));
    assert_eq!((boot.last_index(), boot.commit_index()), (7, 7));
    drop(boot);

    let mut again = open(&fs, wal, snap, WalOptions::default()).unwrap();
    assert_eq!((again.last_index(), again.commit_index()), (7, 7));
    assert_eq!(again.cluster_id, id);
    let tail = again.log.entries(6..8, u64::MAX).unwrap();
    let tail: Vec<_> = tail
        .iter()
        .map(|e| ConfChange::decode(e.data.clone().unwrap()).unwrap())
        .collect();
    assert_eq!(kinds(&tail), [(REMOVE, 2), (REMOVE, 3)]);
    assert!(
        again.force_new_cluster(&member(1)).unwrap().is_empty(),
        "once is enough"
    );
    assert_eq!(again.last_index(), 7);
}

#[test]
fn a_log_made_for_another_member_or_cluster_gets_no_initial_members() {
    let fs = SimFs::new().shared();
    let (wal, snap) = (Path::new("/m/wal"), Path::new("/m/snap"));
    // A member that was to join: its id and the cluster's came from there.
    let mut boot = create(&fs, wal, snap, &[], 77, 88, WalOptions::default()).unwrap();
    assert!(boot.is_unfinished());
    let refused = boot.write_initial_members(&[member(77)]);
    assert!(
        matches!(refused, Err(Error::NotInitialMember { node_id: 77, .. })),
        "{refused:?}"
    );
    assert_eq!(boot.last_index(), 0);
    let (wal, id) = (Path::new("/n/wal"), cluster_id([1]));
    let refused = create(&fs, wal, snap, &[member(1)], 2, id, WalOptions::default());
    assert!(matches!(refused, Err(Error::NotInitialMember { .. })));
    assert!(
        !crate::bootstrap::has_wal(&fs, wal).unwrap(),
        "nothing was made"
    );
}
