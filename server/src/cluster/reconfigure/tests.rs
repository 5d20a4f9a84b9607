//! Properties of the checks before a change of the cluster: etcd's tables, in words.
use super::*;

/// Voters 1, 2, ...: `s` started, `n` not yet, `l` a learner that started.
fn cluster(members: &str) -> Cluster {
    let mut cluster = Cluster::new(1, 1);
    for (id, kind) in (1..).zip(members.chars()) {
        cluster.restore_member(Member {
            id,
            name: if kind == 'n' {
                String::new()
            } else {
                format!("m{id}")
            },
            is_learner: kind == 'l',
            ..Member::default()
        });
    }
    cluster
}

fn all(_: u64) -> bool {
    true
}

#[test]
fn a_voter_is_added_only_where_the_new_quorum_has_started() {
    for (members, allowed) in [
        ("s", true),
        ("n", false),
        ("ss", true),
        ("sn", false),
        ("sss", true),
        ("ssn", false),
        ("sssn", true),
        ("ssnn", false),
        ("sl", true),
    ] {
        let verdict = may_add(&cluster(members), false, all);
        let expected = if allowed {
            Ok(())
        } else {
            Err(RpcError::MemberNotEnoughStarted)
        };
        assert_eq!(verdict, expected, "{members}");
        // A learner does not vote: whether others have started does not matter.
        assert_eq!(may_add(&cluster(members), true, all), Ok(()));
    }
}

#[test]
fn a_member_is_added_only_where_the_new_quorum_is_connected() {
    let healthy = |n: u64| move |id: u64| id <= n;
    for (members, connected, allowed) in [
        ("s", 1, true),
        ("sss", 3, true),
        ("sss", 2, false),
        ("ssss", 3, true),
        ("ssss", 2, false),
    ] {
        for is_learner in [false, true] {
            let verdict = may_add(&cluster(members), is_learner, healthy(connected));
            let expected = if allowed {
                Ok(())
            } else {
                Err(RpcError::Unhealthy)
            };
            assert_eq!(verdict, expected, "{members} {connected}");
        }
    }
}

#[test]
fn a_removal_leaves_a_quorum_started_and_connected() {
    let remove = |members: &str, id, connected, healthy: u64| {
        may_remove(&cluster(members), id, connected, move |id| id <= healthy)
    };
    assert_eq!(remove("sss", 3, true, 3), Ok(()));
    assert_eq!(
        remove("ssn", 2, true, 3),
        Err(RpcError::MemberNotEnoughStarted)
    );
    assert_eq!(remove("ssn", 3, true, 3), Ok(()));
    // The last one.
    assert_eq!(
        remove("s", 1, true, 1),
        Err(RpcError::MemberNotEnoughStarted)
    );
    // Two of three connected, and one of them is to go.
    assert_eq!(remove("sss", 2, true, 2), Err(RpcError::Unhealthy));
    // The one that is down may go.
    assert_eq!(remove("sss", 3, false, 2), Ok(()));
    // A learner may always go.
    assert_eq!(remove("ssl", 3, true, 1), Ok(()));
}

#[test]
fn a_promoted_member_is_named_by_its_id_alone() {
    let context: varve_raftnode::membership::ConfChangeContext =
        serde_json::from_str(&promotion(7)).unwrap();
    assert!(context.is_promote && context.member.id == 7);
    assert_eq!(promotion(7), r#"{"id":7,"peerURLs":null,"isPromote":true}"#);
}
