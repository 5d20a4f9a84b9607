//! Leaders that are killed or stand still while clients write.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::bootstrap::three;
use super::long;
use super::traffic::{Plan, Traffic};
use crate::harness::skipped;

#[test]
fn no_acknowledged_write_is_lost_when_leaders_are_killed() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("no_acknowledged_write_is_lost", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    traffic.wait_progress(&urls);
    let rounds = if long() { 50 } else { 3 };
    let mut took = Vec::new();
    for _ in 0..rounds {
        let leader = group.leader();
        let began = Instant::now();
        group.seats[leader].kill();
        let next = group.leader();
        took.push(began.elapsed());
        assert_ne!(leader, next);
        group.restart(leader);
    }
    traffic.wait_progress(&urls);
    took.sort();
    eprintln!(
        "{rounds} leaders killed: a new one after {:?} (median), {:?} (worst), as it says itself",
        took[took.len() / 2],
        took[took.len() - 1],
    );
    traffic.finish();
    group.equal_hashes();
    group.assert_no_damage();
}

#[test]
fn a_leader_that_stood_still_answers_no_stale_read() {
    let group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_leader_that_stood_still", &reason),
    };
    let old = group.leader();
    let others: Vec<usize> = (0..3).filter(|&i| i != old).collect();
    group.ctl(&others, &["put", "k", "before"]);
    let lease = group.ctl(&[old], &["lease", "grant", "600"]);
    group.seats[old].signal(Signal::STOP);
    group.ctl_at_last(&others, &["put", "k", "after"]);
    // It has a request in its socket when it wakes up.
    let reader = std::thread::scope(|scope| {
        let reading =
            scope.spawn(|| group.ctl_at_last(&[old], &["get", "k", "--print-value-only"]));
        std::thread::sleep(Duration::from_millis(100));
        group.seats[old].signal(Signal::CONT);
        reading.join().unwrap()
    });
    assert_eq!(reader, "after\n");
    let id = lease.split(' ').nth(1).unwrap();
    let ttl = group.ctl_at_last(&[old], &["lease", "timetolive", id]);
    assert!(ttl.contains("granted with TTL(600s)"), "{ttl}");
    group.equal_hashes();
    group.assert_no_damage();
}

#[test]
fn a_leader_that_stood_still_for_three_seconds_tells_nobody_of_its_past() {
    let group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_leader_that_stood_still_for_three_seconds", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    // Clients of all members have requests in the sockets of the one that stands still; those of the
    // others go on, so that what it knew is soon of the past.
    for _ in 0..if long() { 20 } else { 2 } {
        traffic.wait_progress(&urls);
        let old = group.leader();
        group.seats[old].signal(Signal::STOP);
        std::thread::sleep(Duration::from_secs(3));
        group.seats[old].signal(Signal::CONT);
    }
    traffic.wait_progress(&urls);
    traffic.finish();
    group.equal_hashes();
    group.assert_no_damage();
}
