//! Changes of a running cluster with etcdctl: add, learn, promote, update, remove, replace.

use super::bootstrap::three;
use super::group::{Group, varve};
use crate::harness::skipped;

/// Adds a member at a new seat with etcdctl and starts it as etcdctl says. Its seat.
pub(super) fn add(group: &mut Group, at: &[usize], learner: bool, seat: usize) {
    let (name, url) = {
        let seat = &group.seats[seat];
        (seat.name.clone(), seat.peer_url())
    };
    let mut args = vec!["member", "add", &name, "--peer-urls", &url];
    if learner {
        args.push("--learner");
    }
    let told = group.ctl_at_last(at, &args);
    let cluster = told
        .lines()
        .find_map(|line| line.strip_prefix("ETCD_INITIAL_CLUSTER="))
        .unwrap_or_else(|| panic!("{told}"))
        .trim_matches('"')
        .to_owned();
    group.start_with(seat, &cluster, "existing");
}

#[test]
fn members_are_added_promoted_updated_removed_and_replaced() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("members_are_added_promoted_updated", &reason),
    };
    let all = [0, 1, 2];
    for i in 0..20 {
        group.ctl(&[0], &["put", &format!("k{i}"), "v"]);
    }

    // A learner: it gets the data, answers only reads of its own, and there may be one.
    let learner = group.add_seat(varve("3.6"));
    add(&mut group, &all, true, learner);
    let id = group.id(0, learner);
    let again = group.ctl_fails(
        &all,
        &[
            "member",
            "add",
            "x",
            "--peer-urls",
            "http://127.0.0.1:9",
            "--learner",
        ],
    );
    assert!(
        again.contains("too many learner members in cluster"),
        "{again}"
    );
    let twice = group.ctl_fails(
        &all,
        &[
            "member",
            "add",
            "x",
            "--peer-urls",
            &group.seats[0].peer_url(),
        ],
    );
    assert!(twice.contains("Peer URLs already exists"), "{twice}");
    let read = ["get", "k19", "--consistency=s", "--print-value-only"];
    assert_eq!(group.ctl_at_last(&[learner], &read), "v\n");
    let refused = group.ctl_fails(&[learner], &["put", "k", "v"]);
    assert!(
        refused.contains("rpc not supported for learner"),
        "{refused}"
    );

    // A follower forwards the promotion; a voter cannot be promoted again.
    let follower = (group.leader() + 1) % 3;
    group.ctl_at_last(&[follower], &["member", "promote", &id]);
    let again = group.ctl_fails(&all, &["member", "promote", &id]);
    assert!(
        again.contains("can only promote a learner member"),
        "{again}"
    );
    let unknown = group.ctl_fails(&[follower], &["member", "promote", "abc"]);
    assert!(unknown.contains("member not found"), "{unknown}");
    group.wait_healthy(learner);
    assert_eq!(group.ctl(&[learner], &["put", "by learner", "v"]), "OK\n");
    group.equal_hashes();

    // Another peer URL for the same member: it answers at both, the others follow.
    let moved = format!("http://{}:2390", group.seats[learner].address);
    group.ctl(&all, &["member", "update", &id, "--peer-urls", &moved]);
    let list = group.ctl(&all, &["member", "list"]);
    assert!(list.contains(&moved), "{list}");
    group.seats[learner].kill();
    let flags = [
        format!("--listen-peer-urls={moved}"),
        format!("--initial-advertise-peer-urls={moved}"),
    ];
    group.seats[learner].flags.extend(flags);
    group.restart(learner);
    assert_eq!(group.ctl(&[learner], &["put", "moved", "v"]), "OK\n");

    // A removed member ends by itself, cleanly, and does not come back.
    group.ctl_at_last(&all, &["member", "remove", &id]);
    assert!(group.seats[learner].wait_end().success());
    let gone = group.ctl_fails(&all, &["member", "remove", &id]);
    assert!(gone.contains("ember not found"), "{gone}");
    group.start(learner, &[learner], "existing");
    group.seats[learner].wait_end();
    let output = group.seats[learner].output();
    assert!(
        output.contains("the member has been permanently removed from the cluster"),
        "{output}"
    );

    // A member whose disk is gone is replaced: removed while it is down, and added anew.
    let lost = (group.leader() + 1) % 3;
    let others: Vec<usize> = all.into_iter().filter(|&i| i != lost).collect();
    let id = group.id(others[0], lost);
    group.seats[lost].kill();
    std::fs::remove_dir_all(&group.seats[lost].data_dir).unwrap();
    group.ctl_at_last(&others, &["member", "remove", &id]);
    add(&mut group, &others, false, lost);
    group.wait_healthy(lost);
    assert_ne!(group.id(lost, lost), id);
    assert_eq!(group.ctl(&[lost], &["get", "moved"]), "moved\nv\n");
    group.equal_hashes();
    group.assert_no_damage();
}

#[test]
fn a_change_that_endangers_the_quorum_is_refused() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_change_that_endangers_the_quorum", &reason),
    };
    let down = (group.leader() + 1) % 3;
    let up: Vec<usize> = (0..3).filter(|&i| i != down).collect();
    let ids: Vec<String> = (0..3).map(|i| group.id(0, i)).collect();
    // Wait until the connections count as healthy, so that what follows is about the quorum.
    group.ctl_at_last(
        &up,
        &[
            "member",
            "add",
            "l",
            "--peer-urls",
            "http://127.0.0.1:9",
            "--learner",
        ],
    );
    group.seats[down].kill();
    let one_more = ["member", "add", "x", "--peer-urls", "http://127.0.0.1:8"];
    let refused = super::group::wait_for("a refusal", || {
        let output = group.try_ctl(&up, &one_more);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.contains("unhealthy cluster").then_some(text)
    });
    assert!(
        refused.contains("etcdserver: unhealthy cluster"),
        "{refused}"
    );
    let refused = group.ctl_fails(&up, &["member", "remove", &ids[up[0]]]);
    assert!(refused.contains("unhealthy cluster"), "{refused}");
    // The one that is down may go.
    group.ctl(&up, &["member", "remove", &ids[down]]);
    assert_eq!(group.ctl(&up, &["put", "k", "v"]), "OK\n");
}
