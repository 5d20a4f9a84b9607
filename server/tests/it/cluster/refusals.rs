//! What does not belong together is refused, says why, and harms nobody: by Varve as by etcd 3.5.1.
//!
//! Each test runs against both, with the same expectations. What only one of them says is left out.

use super::group::{Group, etcd, varve, wait_for};
use crate::harness::{Program, skipped};

/// Runs a test against three members of each kind.
fn each(test: &str, body: impl Fn(Group, Program)) {
    for program in [Ok(varve("3.5")), etcd()] {
        let started = program.and_then(|program| {
            let mut group = Group::new(vec![program.clone(), program.clone(), program.clone()])?;
            group.start_all();
            Ok((group, program))
        });
        match started {
            Ok((group, program)) => body(group, program),
            Err(reason) => return skipped(test, &reason),
        }
    }
}

/// The cluster serves, and its members agree.
fn unharmed(group: &Group, seats: &[usize]) {
    assert_eq!(group.ctl(seats, &["put", "still", "there"]), "OK\n");
    for &seat in seats {
        let read = ["get", "still", "--print-value-only"];
        assert_eq!(group.ctl(&[seat], &read), "there\n");
    }
    group.assert_no_damage();
}

#[test]
fn a_member_of_another_token_is_not_let_in() {
    each("a_member_of_another_token", |mut group, _| {
        // The third begins again with another token, as it might by a mistake in its flags.
        let lost = (group.leader() + 1) % 3;
        let others: Vec<usize> = (0..3).filter(|&i| i != lost).collect();
        group.seats[lost].kill();
        std::fs::remove_dir_all(&group.seats[lost].data_dir).unwrap();
        group.seats[lost].flags = vec!["--initial-cluster-token=other".to_owned()];
        group.start(lost, &[0, 1, 2], "new");
        wait_for("refusals on both sides", || {
            let says = |seat: usize| group.seats[seat].output().contains("cluster ID mismatch");
            (says(lost) && others.iter().any(|&seat| says(seat))).then_some(())
        });
        let get = ["--command-timeout=1s", "get", "k"];
        group.ctl_fails(&[lost], &get);
        unharmed(&group, &others);
        group.seats[lost].kill();
    });
}

#[test]
fn a_url_that_the_flags_contradict_is_refused() {
    each("a_url_that_the_flags_contradict", |mut group, program| {
        let extra = group.add_seat(program);
        let members = group.initial_cluster(&[0, 1, 2]);
        let own = group.initial_cluster(&[extra]);
        let clusters = [
            // It advertises what the cluster does not know it by.
            ("m3", "m3=http://127.0.0.1:9".to_owned()),
            // A name of two members.
            ("m3", format!("{own},m3=http://127.0.0.1:9")),
            // The name of a member that is there, at another URL.
            ("m0", members),
        ];
        for (name, cluster) in clusters {
            group.seats[extra].name = name.to_owned();
            group.start_with(extra, &cluster, "new");
            let status = group.seats[extra].wait_end();
            let output = group.seats[extra].output();
            let why = "missing from --initial-advertise-peer-urls=";
            assert!(!status.success() && output.contains(why), "{output}");
        }
        unharmed(&group, &[0, 1, 2]);
    });
}

#[test]
fn a_further_member_that_takes_the_cluster_for_new_is_not_let_in() {
    each(
        "a_further_member_that_takes_the_cluster",
        |mut group, program| {
            let extra = group.add_seat(program);
            group.start(extra, &[0, 1, 2, extra], "new");
            wait_for("a refusal", || {
                let output = group.seats[extra].output();
                output.contains("cluster ID mismatch").then_some(())
            });
            unharmed(&group, &[0, 1, 2]);
            let list = group.ctl(&[0], &["member", "list"]);
            assert_eq!(list.lines().count(), 3, "{list}");
            group.seats[extra].kill();
            // Nor if it takes it for what it is, but nobody added it: the cluster is complete without it.
            std::fs::remove_dir_all(&group.seats[extra].data_dir).unwrap();
            group.start(extra, &[0, 1, 2, extra], "existing");
            assert!(!group.seats[extra].wait_end().success());
            let output = group.seats[extra].output();
            assert!(output.contains("member count is unequal"), "{output}");
            unharmed(&group, &[0, 1, 2]);
        },
    );
}

#[test]
fn a_member_that_is_too_old_for_the_cluster_is_refused() {
    for program in [Ok(varve("3.5")), etcd()] {
        let started = program.and_then(|program| Ok((super::bootstrap::three()?, program)));
        let (mut group, program) = match started {
            Ok(started) => started,
            Err(reason) => return skipped("a_member_that_is_too_old", &reason),
        };
        let extra = group.add_seat(program);
        let url = group.seats[extra].peer_url();
        let all = [0, 1, 2];
        group.ctl_at_last(&all, &["member", "add", "m3", "--peer-urls", &url]);
        group.start(extra, &[0, 1, 2, extra], "existing");
        assert!(!group.seats[extra].wait_end().success());
        let output = group.seats[extra].output();
        let why = "incompatible with current running cluster";
        assert!(output.contains(why), "{output}");
        unharmed(&group, &all);
        // The one that is added in vain can be taken out again.
        let id = group.id(0, extra);
        group.ctl_at_last(&all, &["member", "remove", &id]);
        unharmed(&group, &all);
    }
}

#[test]
fn a_directory_of_a_removed_member_is_not_used_for_the_one_that_takes_its_place() {
    each("a_directory_of_a_removed_member", |mut group, _| {
        let gone = (group.leader() + 1) % 3;
        let others: Vec<usize> = (0..3).filter(|&i| i != gone).collect();
        let id = group.id(others[0], gone);
        group.ctl_at_last(&others, &["member", "remove", &id]);
        group.seats[gone].wait_end();
        // It is added again under the same name and URL, and begins with what it had.
        let url = group.seats[gone].peer_url();
        let name = group.seats[gone].name.clone();
        group.ctl_at_last(&others, &["member", "add", &name, "--peer-urls", &url]);
        group.start(gone, &[0, 1, 2], "existing");
        group.seats[gone].wait_end();
        let output = group.seats[gone].output();
        assert!(output.contains("removed"), "{output}");
        let list = group.ctl(&others, &["member", "list"]);
        assert_eq!(list.matches("unstarted").count(), 1, "{list}");
        unharmed(&group, &others);
        // With nothing, as it should, it comes in.
        std::fs::remove_dir_all(&group.seats[gone].data_dir).unwrap();
        group.start(gone, &[0, 1, 2], "existing");
        group.wait_healthy(gone);
        assert_ne!(group.id(gone, gone), id);
        unharmed(&group, &[0, 1, 2]);
        group.equal_hashes();
    });
}

#[test]
fn a_member_that_joins_without_a_quorum_waits_for_it() {
    each(
        "a_member_that_joins_without_a_quorum",
        |mut group, program| {
            let extra = group.add_seat(program);
            let url = group.seats[extra].peer_url();
            group.ctl_at_last(&[0], &["member", "add", "m3", "--peer-urls", &url]);
            for down in [1, 2] {
                group.seats[down].kill();
            }
            group.start(extra, &[0, 1, 2, extra], "existing");
            // Neither lets anybody change anything, and nobody ends.
            let put = ["--command-timeout=3s", "put", "k", "v"];
            group.ctl_fails(&[0], &put);
            group.ctl_fails(&[extra], &put);
            for back in [1, 2] {
                group.start(back, &[back], "existing");
            }
            for seat in 0..4 {
                group.wait_healthy(seat);
            }
            unharmed(&group, &[0, 1, 2, extra]);
            group.equal_hashes();
        },
    );
}

#[test]
fn a_member_that_went_back_in_time_harms_nobody_and_is_replaced() {
    each("a_member_that_went_back_in_time", |mut group, _| {
        // What one had some writes ago is put in the place of what it has: it lost what it acknowledged.
        let back = (group.leader() + 1) % 3;
        let others: Vec<usize> = (0..3).filter(|&i| i != back).collect();
        let kept = group.dir.path().join("kept");
        group.seats[back].kill();
        copy(&group.seats[back].data_dir, &kept);
        group.restart(back);
        for i in 0..20 {
            group.ctl(&[back], &["put", &format!("k{i}"), "v"]);
        }
        group.seats[back].kill();
        std::fs::remove_dir_all(&group.seats[back].data_dir).unwrap();
        copy(&kept, &group.seats[back].data_dir);
        group.start(back, &[back], "existing");
        // The leader speaks of entries that it should have: it stops and says so. (Under another leader,
        // who does not know what it had, it gets them.)
        let read = ["--command-timeout=1s", "get", "k19", "--print-value-only"];
        let ended = wait_for("its end, or an answer", || {
            let answer = group.try_ctl(&[back], &read);
            let ended = group.seats[back].has_ended();
            (ended || answer.stdout == b"v\n").then_some(ended)
        });
        if ended {
            let output = group.seats[back].output();
            let says = output.contains("Was the raft log corrupted, truncated, or lost?");
            assert!(says, "{output}");
        }
        assert_eq!(group.ctl(&others, &["put", "still", "there"]), "OK\n");
        // Its place is taken by one that begins with nothing.
        group.seats[back].kill();
        std::fs::remove_dir_all(&group.seats[back].data_dir).unwrap();
        let id = group.id(others[0], back);
        group.ctl_at_last(&others, &["member", "remove", &id]);
        super::changes::add(&mut group, &others, false, back);
        group.wait_healthy(back);
        assert_eq!(group.ctl(&[back], &["get", "k19"]), "k19\nv\n");
        group.equal_hashes();
    });
}

/// Copies a directory.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let status = std::process::Command::new("cp")
        .args(["-a", "--sparse=auto"])
        .args([from, to])
        .status();
    assert!(status.unwrap().success());
}
