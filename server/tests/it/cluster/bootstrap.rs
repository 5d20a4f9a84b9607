//! How members find each other: a static start, a join, and what is refused without harm.

use super::group::{Group, varve, wait_for};
use crate::harness::skipped;

/// A group of three new members of the server under test, all serving.
pub(super) fn three() -> Result<Group, String> {
    let mut group = Group::new(vec![varve("3.6"), varve("3.6"), varve("3.6")])?;
    group.start_all();
    Ok(group)
}

#[test]
fn a_cluster_starts_from_its_flags_and_every_member_serves() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_cluster_starts_from_its_flags", &reason),
    };
    let all = [0, 1, 2];
    let list = group.ctl(&[1], &["member", "list"]);
    assert_eq!(list.matches(", started, ").count(), 3, "{list}");
    for seat in all {
        let key = format!("by{seat}");
        assert_eq!(group.ctl(&[seat], &["put", &key, "v"]), "OK\n");
    }
    for seat in all {
        let keys = group.ctl(&[seat], &["get", "by", "--prefix", "--keys-only"]);
        assert_eq!(keys, "by0\n\nby1\n\nby2\n\n");
    }
    let health = group.ctl(&all, &["endpoint", "health"]);
    assert_eq!(health.matches("is healthy").count(), 3, "{health}");
    group.equal_hashes();

    // Leadership goes where it is asked to go, and only the leader is asked.
    let leader = group.leader();
    let follower = (leader + 1) % 3;
    let to = group.id(0, follower);
    let refused = group.ctl_fails(&[follower], &["move-leader", &to]);
    assert!(refused.contains("no leader endpoint given"), "{refused}");
    let moved = group.ctl(&all, &["move-leader", &to]);
    assert!(moved.starts_with("Leadership transferred"), "{moved}");
    assert_eq!(group.leader(), follower);

    // A leader that is told to stop hands over first: nobody waits for an election.
    assert!(group.seats[follower].stop().success());
    let output = group.seats[follower].output();
    assert!(output.contains("leadership transfer finished"), "{output}");
    let others: Vec<usize> = all.into_iter().filter(|&i| i != follower).collect();
    assert_eq!(group.ctl(&others, &["put", "after", "v"]), "OK\n");
    group.restart(follower);
    assert_eq!(group.ctl(&[follower], &["get", "after"]), "after\nv\n");
    group.equal_hashes();
    group.assert_no_damage();
}

#[test]
fn members_that_do_not_belong_are_refused_and_harm_nobody() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("members_that_do_not_belong_are_refused", &reason),
    };
    let extra = group.add_seat(varve("3.6"));
    let refused = |group: &mut Group, cluster: &str, state: &str, why: &str| {
        group.start_with(extra, cluster, state);
        let status = group.seats[extra].wait_end();
        let output = group.seats[extra].output();
        assert!(!status.success(), "{output}");
        assert!(output.contains(why), "wanted {why:?}: {output}");
    };
    let members = group.initial_cluster(&[0, 1, 2]);
    let own = group.initial_cluster(&[extra]);

    // Nobody added it.
    let cluster = format!("{members},{own}");
    refused(&mut group, &cluster, "existing", "member count is unequal");
    // Its flags leave it out, or name a URL twice.
    refused(&mut group, &members, "existing", "couldn't find local name");
    let twice = format!("{own},other={}", group.seats[extra].peer_url());
    refused(&mut group, &twice, "new", "has duplicate url");
    // It takes the place of a member that is there.
    let name = std::mem::replace(&mut group.seats[extra].name, "m0".to_owned());
    refused(&mut group, &members, "new", "initial-cluster");
    group.seats[extra].name = name;
    // Nobody answers.
    let lost = format!("{own},gone=http://127.0.0.1:9");
    refused(
        &mut group,
        &lost,
        "existing",
        "cannot fetch cluster info from peer urls",
    );
    // The cluster is newer than it.
    group.seats[extra].program = varve("3.5");
    group.ctl_at_last(
        &[0, 1, 2],
        &[
            "member",
            "add",
            "m3",
            "--peer-urls",
            &group.seats[extra].peer_url(),
        ],
    );
    refused(
        &mut group,
        &cluster,
        "existing",
        "incompatible with current running cluster",
    );
    // Another cluster's member at an expected URL: it is not let in, and elects nobody.
    group.start_with(extra, &own, "new");
    group.wait_healthy(extra);
    wait_for("a refusal of the foreign cluster", || {
        let warned = |i: usize| group.seats[i].output().contains("cluster ID mismatch");
        [0, 1, 2].into_iter().any(warned).then_some(())
    });
    group.seats[extra].kill();
    assert_eq!(group.ctl(&[0, 1, 2], &["put", "still", "there"]), "OK\n");
    group.equal_hashes();
    group.assert_no_damage();
}

#[test]
fn one_member_can_be_made_the_whole_cluster() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("one_member_can_be_made_the_whole_cluster", &reason),
    };
    group.ctl(&[0], &["put", "k", "v"]);
    group.equal_hashes();
    for seat in [0, 1, 2] {
        group.seats[seat].kill();
    }
    group.seats[1].flags.push("--force-new-cluster".to_owned());
    group.restart(1);
    assert_eq!(group.ctl(&[1], &["get", "k"]), "k\nv\n");
    let list = group.ctl(&[1], &["member", "list"]);
    assert_eq!(list.lines().count(), 1, "{list}");
    group.seats[1].kill();
    group.seats[1].flags.clear();
    group.restart(1);
    // The others were removed: they are told so, and end.
    group.start(0, &[0], "existing");
    assert!(group.seats[0].wait_end().success());
    assert_eq!(group.ctl(&[1], &["put", "k", "w"]), "OK\n");
}
