//! Members of this server and real etcds in one cluster.

use super::changes::add;
use super::group::{Group, etcd, etcd_36, varve};
use super::long;
use super::traffic::{Plan, Traffic};
use crate::harness::{Program, skipped};

/// Replaces the member at a seat by one of another program, as a learner that is promoted. The new
/// member's seat.
fn replace(group: &mut Group, seat: usize, program: Program) -> usize {
    let new = group.add_seat(program);
    let running = group.running();
    add(group, &running, true, new);
    let id = group.id(seat, new);
    group.ctl_at_last(&running, &["member", "promote", &id]);
    group.wait_healthy(new);
    let old = group.id(new, seat);
    let others: Vec<usize> = group.running().into_iter().filter(|&i| i != seat).collect();
    group.ctl_at_last(&others, &["member", "remove", &old]);
    group.seats[seat].wait_end();
    new
}

/// Every member leads once, and each serves writes and reads meanwhile.
fn everybody_leads(group: &Group) {
    for seat in group.running() {
        let id = group.id(seat, seat);
        if group.leader() != seat {
            group.ctl_at_last(&group.running(), &["move-leader", &id]);
        }
        for at in group.running() {
            let key = format!("led by {seat} at {at}");
            group.ctl_at_last(&[at], &["put", &key, "v"]);
            assert_eq!(group.ctl(&[at], &["get", &key]), format!("{key}\nv\n"));
        }
    }
    group.equal_hashes();
}

/// Ours between two etcds: each leads, keeps leases for the others, and restarts.
fn lead_and_follow(etcd: Program, compat: &str) -> Result<(), String> {
    let mut group = Group::new(vec![etcd.clone(), varve(compat), etcd])?;
    group.start_all();
    everybody_leads(&group);
    let lease = group.ctl(&[0], &["lease", "grant", "600"]);
    let id = lease.split(' ').nth(1).unwrap();
    for seat in [0, 1, 2] {
        let alive = group.ctl(&[seat], &["lease", "keep-alive", "--once", id]);
        assert_eq!(alive, format!("lease {id} keepalived with TTL(600)\n"));
        let ttl = group.ctl(&[seat], &["lease", "timetolive", id]);
        assert!(ttl.contains("granted with TTL(600s)"), "{ttl}");
    }
    for seat in [0, 1, 2] {
        group.seats[seat].kill();
        group.restart(seat);
    }
    group.equal_hashes();
    group.assert_no_damage();
    Ok(())
}

#[test]
fn members_of_both_kinds_lead_and_follow_each_other() {
    for compat in ["3.5", "3.6"] {
        if let Err(reason) = etcd().and_then(|etcd| lead_and_follow(etcd, compat)) {
            return skipped("members_of_both_kinds", &reason);
        }
    }
}

#[test]
fn members_of_both_kinds_lead_and_follow_each_other_at_3_6() {
    if let Err(reason) = etcd_36().and_then(|etcd| lead_and_follow(etcd, "3.6")) {
        skipped("members_of_both_kinds_at_3_6", &reason);
    }
}

/// Replaces the members one by one by ours and back, under load.
fn replace_and_back(etcd: Program, compat: &str) -> Result<(), String> {
    let mut group = Group::new(vec![etcd.clone(), etcd.clone(), etcd.clone()])?;
    group.start_all();
    let plan = Plan {
        progress: false,
        ..Plan::default()
    };
    let traffic = Traffic::start(group.urls(), plan);
    let mut seats = [0, 1, 2];
    // The short form replaces one of the three, there and back.
    let count = if long() { 3 } else { 1 };
    for program in [varve(compat), etcd] {
        for seat in seats.iter_mut().take(count) {
            traffic.wait_progress(&group.urls());
            *seat = replace(&mut group, *seat, program.clone());
            traffic.set_urls(group.urls());
            traffic.wait_progress(&group.urls());
            traffic.pause();
            group.equal_hashes();
            traffic.go_on();
        }
        // Everybody leads, and each serves meanwhile.
        for seat in group.running() {
            let id = group.id(seat, seat);
            if group.leader() != seat {
                group.ctl_at_last(&group.running(), &["move-leader", &id]);
            }
            traffic.wait_progress(&group.urls());
        }
        traffic.pause();
        group.equal_hashes();
        traffic.go_on();
    }
    traffic.finish();
    group.equal_hashes();
    group.assert_no_damage();
    Ok(())
}

#[test]
fn a_rolling_replacement_of_etcd_and_back_loses_nothing() {
    if let Err(reason) = etcd().and_then(|etcd| replace_and_back(etcd, "3.5")) {
        skipped("a_rolling_replacement", &reason);
    }
}

#[test]
fn a_rolling_replacement_of_etcd_3_6_and_back_loses_nothing() {
    if let Err(reason) = etcd_36().and_then(|etcd| replace_and_back(etcd, "3.6")) {
        skipped("a_rolling_replacement_at_3_6", &reason);
    }
}
