//! Members whose disk is slow, or stands still, under traffic: the process itself is as lively as ever.

use std::time::Duration;

use super::bootstrap::three;
use super::group::{Group, wait_for};
use super::long;
use super::processes::finish;
use super::throttle::Throttle;
use super::traffic::{Plan, Traffic};
use crate::harness::skipped;

/// A cluster, and a throttle for the disk that all its members are on.
fn three_on_a_disk(name: &str) -> Result<(Group, Throttle), String> {
    let group = three()?;
    let throttle = Throttle::on_disk_of(group.dir.path(), name)?;
    Ok((group, throttle))
}

/// Seconds that the member's log writes took, and how many there were.
fn syncs(group: &Group, seat: usize) -> (f64, f64) {
    let metrics = group.seats[seat].metrics().unwrap();
    let value = |name: &str| {
        let name = format!("etcd_disk_wal_fsync_duration_seconds_{name} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().parse::<f64>().unwrap()
    };
    (value("sum"), value("count"))
}

/// A follower, in even rounds, or the leader.
fn chosen(group: &Group, round: usize) -> usize {
    let leader = group.leader();
    if round.is_multiple_of(2) {
        (leader + 1) % 3
    } else {
        leader
    }
}

#[test]
fn a_member_whose_disk_is_slow_holds_nobody_up_and_loses_nothing() {
    let (group, throttle) = match three_on_a_disk("slow") {
        Ok(both) => both,
        Err(reason) => return skipped("a_member_whose_disk_is_slow", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    for round in 0..if long() { 10 } else { 2 } {
        traffic.wait_progress(&urls);
        let slow = chosen(&group, round);
        throttle.hold(group.seats[slow].process());
        throttle.writes_per_second(20);
        let (before, count_before) = syncs(&group, slow);
        let answered = traffic.answered(&urls);
        std::thread::sleep(Duration::from_secs(if long() { 30 } else { 5 }));
        let answered = traffic.answered(&urls) - answered;
        let (after, count) = syncs(&group, slow);
        let mean = (after - before) / (count - count_before);
        eprintln!(
            "round {round}: {answered} answers, the slow member's log writes took {:.0} ms each",
            mean * 1000.0
        );
        // Three writes or so each, fifty milliseconds apart; without a throttle it is a millisecond.
        assert!(mean > 0.05, "that was no slow disk: {mean} s");
        // All members serve all the time, this one too.
        traffic.wait_progress(&urls);
        throttle.lift();
        traffic.wait_progress(&urls);
        throttle.release();
    }
    finish(&group, traffic);
}

#[test]
fn a_leader_whose_disk_stands_still_hands_over_and_nothing_is_lost() {
    let (mut group, throttle) = match three_on_a_disk("stalled") {
        Ok(both) => both,
        Err(reason) => return skipped("a_leader_whose_disk_stands_still", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    for _ in 0..if long() { 10 } else { 2 } {
        traffic.wait_progress(&urls);
        let old = group.leader();
        let others: Vec<usize> = (0..3).filter(|&seat| seat != old).collect();
        throttle.hold(group.seats[old].process());
        throttle.stand_still();
        // Nobody is cut off and nobody has stopped: only its disk tells it.
        let new = wait_for("a leader whose disk works", || {
            others.iter().copied().find(|&seat| group.leads(seat))
        });
        let output = group.seats[old].output();
        assert!(output.contains("has not completed a log write"), "{output}");
        let working: Vec<String> = others.iter().map(|&seat| urls[seat].clone()).collect();
        traffic.wait_progress(&working);
        assert!(!group.seats[old].has_ended());
        assert!(group.leads(new) || group.leader() != old);
        throttle.lift();
        traffic.wait_progress(&urls);
        throttle.release();
        std::fs::write(group.seats[old].log(), "").unwrap();
    }
    finish(&group, traffic);
}

#[test]
fn a_follower_whose_disk_stands_still_is_not_noticed() {
    let (group, throttle) = match three_on_a_disk("follower") {
        Ok(both) => both,
        Err(reason) => return skipped("a_follower_whose_disk_stands_still", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    traffic.wait_progress(&urls);
    let leader = group.leader();
    let stalled = (leader + 1) % 3;
    throttle.hold(group.seats[stalled].process());
    throttle.stand_still();
    let working = [urls[leader].clone(), urls[(leader + 2) % 3].clone()];
    for _ in 0..if long() { 60 } else { 5 } {
        traffic.wait_progress(&working);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(group.leads(leader), "leadership moved");
    throttle.lift();
    finish(&group, traffic);
}
