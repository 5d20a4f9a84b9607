//! Members that lag too far get the whole state, from and to real etcds too.

use std::process::Command;

use super::changes::add;
use super::group::{Group, etcd, varve};
use super::load::fill;
use crate::harness::{Program, etcd_351, scratch, skipped};

/// A member is down while the others write past their log, and catches up by snapshot.
fn lag_and_catch_up(programs: Vec<Program>, lags: usize, leads: usize) -> Result<(), String> {
    let mut group = Group::new(programs)?;
    group.flags = vec!["--snapshot-count=50".to_owned()];
    let own = crate::harness::binary().path;
    // Ours are told to keep few entries; etcd 3.5 always keeps 5000.
    let entries = if group.seats[leads].program.path == own {
        500
    } else {
        6000
    };
    for seat in group.seats.iter_mut().filter(|s| s.program.path == own) {
        seat.flags.push("--snapshot-catchup-entries=10".to_owned());
    }
    group.start_all();
    group.ctl(&[0, 1, 2], &["put", "first", "v"]);
    group.seats[lags].kill();
    let others: Vec<usize> = (0..3).filter(|&i| i != lags).collect();
    if group.leader() != leads {
        let id = group.id(others[0], leads);
        group.ctl_at_last(&others, &["move-leader", &id]);
    }
    fill(&group.seats[leads].client_url(), "fill/", entries, 1000);
    group.ctl(&others, &["compaction", "100"]);
    group.restart(lags);
    assert_eq!(group.ctl(&[lags], &["get", "first"]), "first\nv\n");
    group.equal_hashes();
    let received = group.seats[lags].output();
    assert!(received.contains("applied snapshot"), "{received}");
    // It goes on from there, and finds it again.
    group.ctl(&[lags], &["put", "after", "v"]);
    group.seats[lags].kill();
    group.restart(lags);
    assert_eq!(group.ctl(&[lags], &["get", "after"]), "after\nv\n");
    let list = group.ctl(&[lags], &["member", "list"]);
    assert_eq!(list.matches(", started, ").count(), 3, "{list}");
    group.equal_hashes();
    group.assert_no_damage();
    Ok(())
}

#[test]
fn a_member_that_lags_gets_a_snapshot() {
    let programs = vec![varve("3.6"), varve("3.6"), varve("3.6")];
    if let Err(reason) = lag_and_catch_up(programs, 2, 0) {
        skipped("a_member_that_lags_gets_a_snapshot", &reason);
    }
}

#[test]
fn a_member_gets_a_snapshot_from_etcd() {
    let outcome =
        etcd().and_then(|etcd| lag_and_catch_up(vec![etcd.clone(), etcd, varve("3.6")], 2, 0));
    if let Err(reason) = outcome {
        skipped("a_member_gets_a_snapshot_from_etcd", &reason);
    }
}

#[test]
fn a_member_sends_a_snapshot_to_etcd() {
    let outcome =
        etcd().and_then(|etcd| lag_and_catch_up(vec![varve("3.5"), etcd.clone(), etcd], 2, 0));
    if let Err(reason) = outcome {
        skipped("a_member_sends_a_snapshot_to_etcd", &reason);
    }
}

/// What `etcdctl snapshot save` takes of a cluster, etcdutl makes into new members' directories.
#[test]
fn a_saved_snapshot_becomes_a_new_cluster() {
    let outcome = etcd_351("etcdutl").and_then(|etcdutl| {
        let old = super::bootstrap::three()?;
        Ok((etcdutl, old))
    });
    let (etcdutl, old) = match outcome {
        Ok(both) => both,
        Err(reason) => return skipped("a_saved_snapshot_becomes_a_new_cluster", &reason),
    };
    fill(&old.seats[0].client_url(), "fill/", 100, 100);
    let lease = old.ctl(&[0], &["lease", "grant", "6000"]);
    let lease = lease.split(' ').nth(1).unwrap();
    old.ctl(&[0], &["put", "leased", "v", &format!("--lease={lease}")]);
    let hash = old.equal_hashes();
    let kept = scratch();
    let saved = kept.path().join("saved.db");
    old.ctl(&[1], &["snapshot", "save", saved.to_str().unwrap()]);
    drop(old);

    let programs = vec![varve("3.6"), varve("3.6"), varve("3.6")];
    let mut group = Group::new(programs).unwrap();
    let cluster = group.initial_cluster(&[0, 1, 2]);
    for seat in &group.seats {
        let output = Command::new(&etcdutl)
            .args(["snapshot", "restore"])
            .arg(&saved)
            .args(["--name", &seat.name, "--initial-cluster", &cluster])
            .args(["--initial-cluster-token", "restored"])
            .args(["--initial-advertise-peer-urls", &seat.peer_url()])
            .arg("--data-dir")
            .arg(&seat.data_dir)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
    }
    group.start_all();
    assert_eq!(group.equal_hashes(), hash);
    assert_eq!(group.ctl(&[2], &["get", "leased"]), "leased\nv\n");
    let list = group.ctl(&[1], &["member", "list"]);
    assert_eq!(list.matches(", started, ").count(), 3, "{list}");
    for seat in 0..3 {
        assert_eq!(
            group.ctl(&[seat], &["put", &format!("k{seat}"), "v"]),
            "OK\n"
        );
    }
    group.equal_hashes();
    for seat in 0..3 {
        group.seats[seat].kill();
    }
    for seat in 0..3 {
        group.start(seat, &[seat], "existing");
    }
    for seat in 0..3 {
        group.wait_healthy(seat);
    }
    group.equal_hashes();
}

#[test]
fn a_new_member_of_a_long_lived_cluster_starts_from_a_snapshot() {
    let mut group = match Group::new(vec![varve("3.6")]) {
        Ok(group) => group,
        Err(reason) => return skipped("a_new_member_of_a_long_lived_cluster", &reason),
    };
    group.flags = ["--snapshot-count=50", "--snapshot-catchup-entries=10"]
        .map(str::to_owned)
        .into();
    group.start_all();
    fill(&group.seats[0].client_url(), "fill/", 300, 100);
    let new = group.add_seat(varve("3.6"));
    add(&mut group, &[0], false, new);
    group.wait_healthy(new);
    assert!(group.seats[new].output().contains("applied snapshot"));
    group.equal_hashes();
    group.seats[new].kill();
    group.restart(new);
    group.equal_hashes();
}
