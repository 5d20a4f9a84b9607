use super::*;

fn change(kind: ConfChangeType, member: &Member, promote: bool) -> ConfChange {
    let context = ConfChangeContext {
        member: member.clone(),
        is_promote: promote,
    };
    ConfChange {
        id: 0,
        r#type: kind as i32,
        node_id: member.id,
        context: Some(to_json(&context).into_bytes().into()),
    }
}

fn member(id: u64, url: &str) -> Member {
    Member {
        id,
        peer_urls: vec![url.to_owned()],
        ..Member::default()
    }
}

fn three() -> Cluster {
    let mut cluster = Cluster::new(9, 1);
    for id in 1..=3 {
        let m = member(id, &format!("http://h{id}:1"));
        cluster
            .apply(&change(ConfChangeType::ConfChangeAddNode, &m, false))
            .unwrap();
    }
    cluster
}

#[test]
fn a_removed_id_never_comes_back() {
    let mut cluster = three();
    let gone = member(3, "http://h3:1");
    let remove = change(ConfChangeType::ConfChangeRemoveNode, &gone, false);
    assert_eq!(cluster.apply(&remove), Ok(MembershipChange::Removed(3)));
    assert_eq!(cluster.apply(&remove), Err(MembershipError::IdRemoved));
    let add = change(ConfChangeType::ConfChangeAddNode, &gone, false);
    assert_eq!(cluster.apply(&add), Err(MembershipError::IdRemoved));
    assert_eq!(cluster.members().count(), 2);
}

#[test]
fn peer_urls_are_unique() {
    let cluster = three();
    let add = change(
        ConfChangeType::ConfChangeAddNode,
        &member(4, "http://h1:1"),
        false,
    );
    assert_eq!(cluster.validate(&add), Err(MembershipError::PeerUrlExists));
    let update = change(
        ConfChangeType::ConfChangeUpdateNode,
        &member(2, "http://h1:1"),
        false,
    );
    assert_eq!(
        cluster.validate(&update),
        Err(MembershipError::PeerUrlExists)
    );
    let same = change(
        ConfChangeType::ConfChangeUpdateNode,
        &member(1, "http://h1:1"),
        false,
    );
    assert_eq!(cluster.validate(&same), Ok(()));
}

#[test]
fn a_learner_is_promoted_once_and_keeps_its_urls() {
    let mut cluster = three();
    let learner = member(4, "http://h4:1");
    cluster
        .apply(&change(
            ConfChangeType::ConfChangeAddLearnerNode,
            &learner,
            false,
        ))
        .unwrap();
    assert!(cluster.member(4).unwrap().is_learner);
    let bare = Member {
        id: 4,
        ..Member::default()
    };
    let promote = change(ConfChangeType::ConfChangeAddNode, &bare, true);
    cluster.apply(&promote).unwrap();
    assert!(!cluster.member(4).unwrap().is_learner);
    assert_eq!(cluster.member(4).unwrap().peer_urls, ["http://h4:1"]);
    assert_eq!(
        cluster.apply(&promote),
        Err(MembershipError::MemberNotLearner)
    );
}

#[test]
fn an_unknown_conf_change_type_is_refused() {
    let mut bad = change(
        ConfChangeType::ConfChangeAddNode,
        &member(8, "http://h8:1"),
        false,
    );
    bad.r#type = 77;
    assert_eq!(three().validate(&bad), Err(MembershipError::Malformed));
    let mut cut = change(
        ConfChangeType::ConfChangeAddNode,
        &member(8, "http://h8:1"),
        false,
    );
    cut.context = Some(bytes::Bytes::from_static(b"{\"id\":"));
    assert_eq!(three().validate(&cut), Err(MembershipError::Malformed));
}

#[test]
fn membership_survives_the_v2_store() {
    let mut cluster = three();
    let own = Attributes {
        name: "n2".into(),
        client_urls: vec!["http://c2:2".into()],
    };
    cluster.set_attributes(2, own).unwrap();
    cluster
        .apply(&change(
            ConfChangeType::ConfChangeRemoveNode,
            &member(1, ""),
            false,
        ))
        .unwrap();
    cluster.set_version("3.5.0");
    let mut store = V2Store::new();
    three().write_v2(&mut store);
    cluster.write_v2(&mut store);
    let bytes = store.to_json();
    let again = Cluster::from_v2(&V2Store::from_json(&bytes).unwrap(), 9, 1).unwrap();
    assert_eq!(again, cluster);
}

#[test]
fn attributes_that_do_not_parse_are_an_error_not_an_empty_member() {
    let mut store = V2Store::new();
    store.set("/0/members/a/raftAttributes", r#"{"peerURLs":["#);
    assert!(Cluster::from_v2(&store, 9, 1).is_err());
}
