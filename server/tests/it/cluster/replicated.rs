//! State that only one member keeps, or that all must have: leases, alarms, watches, hashes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::bootstrap::three;
use super::group::{Group, varve, wait_for};
use crate::harness::skipped;

#[test]
fn leases_are_kept_by_the_leader_and_served_by_everybody() {
    let group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("leases_are_kept_by_the_leader", &reason),
    };
    let leader = group.leader();
    let follower = (leader + 1) % 3;
    let granted = group.ctl(&[follower], &["lease", "grant", "600"]);
    let id = granted.split(' ').nth(1).unwrap();
    group.ctl(
        &[follower],
        &["put", "leased", "v", &format!("--lease={id}")],
    );
    for seat in 0..3 {
        let alive = group.ctl(&[seat], &["lease", "keep-alive", "--once", id]);
        assert_eq!(alive, format!("lease {id} keepalived with TTL(600)\n"));
        let ttl = group.ctl(&[seat], &["lease", "timetolive", id, "--keys"]);
        assert!(
            ttl.contains("granted with TTL(600s)") && ttl.contains("([leased])"),
            "{ttl}"
        );
    }
    let unknown = group.ctl(&[follower], &["lease", "timetolive", "abc"]);
    assert!(unknown.contains("already expired"), "{unknown}");
    // One that runs out is gone everywhere, and its keys with it.
    let granted = group.ctl(&[follower], &["lease", "grant", "2"]);
    let short = granted.split(' ').nth(1).unwrap();
    group.ctl(
        &[leader],
        &["put", "short", "v", &format!("--lease={short}")],
    );
    wait_for("the lease's end", || {
        let read = ["get", "short", "--consistency=s"];
        (0..3)
            .all(|seat| group.ctl(&[seat], &read).is_empty())
            .then_some(())
    });
    group.equal_hashes();
}

#[test]
fn a_watch_on_a_follower_sees_what_others_write() {
    let group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_watch_on_a_follower", &reason),
    };
    let leader = group.leader();
    let follower = (leader + 1) % 3;
    let mut watch = group
        .command(&[follower], &["watch", "w", "--prefix", "--rev=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for i in 0..5 {
        let key = format!("w{i}");
        group.ctl(&[leader], &["put", &key, "v"]);
        for expected in ["PUT", &key, "v"] {
            assert_eq!(lines.next().unwrap().unwrap(), expected);
        }
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn an_alarm_of_one_member_holds_for_all() {
    let mut group = match Group::new(vec![varve("3.6"), varve("3.6"), varve("3.6")]) {
        Ok(group) => group,
        Err(reason) => return skipped("an_alarm_of_one_member_holds_for_all", &reason),
    };
    let small = 1;
    group.seats[small]
        .flags
        .push("--quota-backend-bytes=1000000".to_owned());
    group.start_all();
    let value = "v".repeat(100_000);
    let full = wait_for("the quota's end", || {
        let output = group.try_ctl(&[small], &["put", "big", &value]);
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert!(full.contains("database space exceeded"), "{full}");
    for seat in 0..3 {
        let refused = group.ctl_fails(&[seat], &["put", "k", "v"]);
        assert!(refused.contains("database space exceeded"), "{refused}");
    }
    let alarms = group.ctl(&[0], &["alarm", "list"]);
    assert!(alarms.contains("alarm:NOSPACE"), "{alarms}");
    group.seats[small].kill();
    group.seats[small].flags.clear();
    group.restart(small);
    group.ctl(&[0], &["alarm", "disarm"]);
    for seat in 0..3 {
        assert_eq!(group.ctl(&[seat], &["put", "k", "v"]), "OK\n");
    }
    group.equal_hashes();
}

#[test]
fn a_follower_whose_database_is_full_tells_everybody_unasked() {
    let mut group = match Group::new(vec![varve("3.6"), varve("3.6"), varve("3.6")]) {
        Ok(group) => group,
        Err(reason) => return skipped("a_follower_whose_database_is_full", &reason),
    };
    let small = 1;
    group.seats[small]
        .flags
        .push("--quota-backend-bytes=1000000".to_owned());
    group.start_all();
    // Nobody writes at the small one: it sees what it applies.
    let value = "v".repeat(100_000);
    let full = wait_for("the quota's end", || {
        let output = group.try_ctl(&[0], &["put", "big", &value]);
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert!(full.contains("database space exceeded"), "{full}");
    let alarms = group.ctl(&[2], &["alarm", "list"]);
    let id = u64::from_str_radix(&group.id(0, small), 16).unwrap();
    assert_eq!(alarms, format!("memberID:{id} alarm:NOSPACE \n"));
    group.equal_hashes();
}

#[test]
fn members_with_equal_contents_pass_the_checks() {
    let mut group = match Group::new(vec![varve("3.6"), varve("3.6"), varve("3.6")]) {
        Ok(group) => group,
        Err(reason) => return skipped("members_with_equal_contents_pass", &reason),
    };
    group.flags = [
        "--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true",
        "--corrupt-check-time=500ms",
        "--compact-hash-check-time=500ms",
    ]
    .map(str::to_owned)
    .into();
    group.start_all();
    for i in 0..10 {
        group.ctl(&[0], &["put", "k", &i.to_string()]);
    }
    group.ctl(&[0], &["compaction", "8"]);
    group.equal_hashes();
    let leader = group.leader();
    let text = |seat: usize| group.seats[seat].output();
    wait_for("a periodic check", || {
        text(leader)
            .contains("\"finished peer corruption check\",\"number-of-peers-checked\":2")
            .then_some(())
    });
    assert!(text(leader).contains("initial corruption checking passed"));
    assert_eq!(group.ctl(&[0], &["alarm", "list"]), "");
}
