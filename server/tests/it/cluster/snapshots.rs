//! Members that lag too far get the whole state, from and to real etcds too.

use std::process::Command;
use std::time::{Duration, Instant};

use super::changes::add;
use super::group::{Group, etcd, field, varve};
use super::load::{Load, fill};
use super::long;
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

/// A follower far behind: what it misses is gone from the log, so that it gets a snapshot, while others
/// write. The long form has it miss 100,000 entries and shows how fast puts are before and meanwhile; that
/// is a figure for a quiet machine, not for a test.
#[test]
fn a_member_far_behind_catches_up_while_others_write() {
    let mut group = match super::bootstrap::three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_member_far_behind_catches_up", &reason),
    };
    let missed = if long() { 100_000 } else { 12_000 };
    if !long() {
        // As many entries as etcd keeps, and snapshots more often than it makes them.
        for seat in 0..3 {
            group.seats[seat].kill();
            let flags = &mut group.seats[seat].flags;
            flags.push("--snapshot-count=1000".to_owned());
        }
        for seat in 0..3 {
            group.start(seat, &[seat], "existing");
        }
        for seat in 0..3 {
            group.wait_healthy(seat);
        }
    }
    let leader = group.leader();
    let lags = (leader + 1) % 3;
    group.seats[lags].kill();
    let url = group.seats[leader].client_url();
    fill(&url, "fill/", missed, 100);
    let load = Load::start(32, url, 100);
    let window = Duration::from_secs(if long() { 10 } else { 1 });
    let after = |window: Duration| {
        let end = Instant::now() + window;
        move || Instant::now() >= end
    };
    load.rate(after(window / 2));
    let (before, _) = load.rate(after(window));
    group.start(lags, &[lags], "existing");
    let lag = || {
        let behind = |seat: usize| {
            let args = ["endpoint", "status", "-w", "json"];
            let output = group.try_ctl(&[seat], &args).stdout;
            field(&String::from_utf8_lossy(&output), "revision")
        };
        Some(behind(leader)?.saturating_sub(behind(lags)?))
    };
    let give_up = Instant::now() + Duration::from_mins(5);
    let (during, took) = load.rate(|| {
        assert!(Instant::now() < give_up, "{lag:?} behind", lag = lag());
        lag().is_some_and(|lag| lag < 1000)
    });
    let (afterwards, _) = load.rate(after(window));
    load.finish();
    eprintln!(
        "{missed} entries behind, caught up in {took:?}: {before:.0} puts/s before, {during:.0} \
         meanwhile, {afterwards:.0} afterwards"
    );
    assert!(group.seats[lags].output().contains("applied snapshot"));
    group.equal_hashes();
    group.assert_no_damage();
}
