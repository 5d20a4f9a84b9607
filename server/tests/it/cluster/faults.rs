//! Clusters whose members' links are cut, slow or lossy, while clients do all they can do.

use std::time::Duration;

use super::disturbed::Disturbed;
use super::long;
use super::proxy::{Faults, Proxy};
use crate::harness::skipped;

#[test]
fn a_partitioned_cluster_goes_on_with_its_majority_and_comes_together_again() {
    let mut disturbed = match Disturbed::start(3) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("a_partitioned_cluster", &reason),
    };
    let traffic = disturbed.traffic();
    for _ in 0..if long() { 10 } else { 1 } {
        // The leader alone: the others elect one and go on, it acknowledges nothing.
        let old = disturbed.group.leader();
        let others: Vec<usize> = disturbed.all().filter(|&seat| seat != old).collect();
        disturbed.isolate(&[old]);
        let new = disturbed.leader_of(&others);
        traffic.wait_progress(&[disturbed.url(new)]);
        let refused = disturbed
            .group
            .ctl_fails(&[old], &["--command-timeout=3s", "get", "k"]);
        assert!(!refused.is_empty());
        disturbed.heal();
        disturbed.group.ctl_at_last(&[old], &["get", "k"]);

        // A follower alone: nobody notices, and it does not disturb the leader when it is back.
        let leader = disturbed.group.leader();
        disturbed.isolate(&[(leader + 1) % 3]);
        traffic.wait_progress(&[disturbed.url(leader)]);
        std::thread::sleep(Duration::from_secs(3));
        disturbed.heal();
        disturbed
            .group
            .ctl_at_last(&[(leader + 1) % 3], &["get", "k"]);
        assert_eq!(disturbed.group.leader(), leader);

        // Nobody hears anybody: nothing is done, and all goes on afterwards.
        disturbed.scatter();
        disturbed.assert_silent(&traffic, &[0, 1, 2]);
        disturbed.heal();
        traffic.wait_progress(&disturbed.urls());
    }
    disturbed.finish(traffic);
}

#[test]
fn five_members_cut_in_two_go_on_in_the_larger_part() {
    let mut disturbed = match Disturbed::start(5) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("five_members_cut_in_two", &reason),
    };
    let traffic = disturbed.traffic();
    for round in 0..if long() { 10 } else { 1 } {
        traffic.wait_progress(&disturbed.urls());
        // The leader is in the smaller part, or in the larger one.
        let leader = disturbed.group.leader();
        let first = leader + round % 2;
        let small = [first % 5, (first + 1) % 5];
        let large: Vec<usize> = disturbed.all().filter(|i| !small.contains(i)).collect();
        disturbed.isolate(&small);
        let urls: Vec<String> = large.iter().map(|&seat| disturbed.url(seat)).collect();
        traffic.wait_progress(&urls);
        disturbed.assert_silent(&traffic, &small);
        disturbed.heal();
    }
    traffic.wait_progress(&disturbed.urls());
    disturbed.finish(traffic);
}

#[test]
fn a_cluster_recovers_from_one_way_cuts() {
    let mut disturbed = match Disturbed::start(3) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("a_cluster_recovers_from_one_way_cuts", &reason),
    };
    let traffic = disturbed.traffic();
    for round in 0..if long() { 12 } else { 2 } {
        let leader = disturbed.group.leader();
        let follower = (leader + 1 + round / 2 % 2) % 3;
        // Its followers do not hear the leader; or it does not hear one of them.
        let (from, to) = if round % 2 == 0 {
            (leader, follower)
        } else {
            (follower, leader)
        };
        disturbed.cut_one_way(from, to);
        std::thread::sleep(Duration::from_secs(4));
        // With two of three that hear each other there is somebody who leads.
        let third = 3 - leader - follower;
        traffic.wait_progress(&[disturbed.url(third)]);
        disturbed.heal();
        traffic.wait_progress(&disturbed.urls());
    }
    disturbed.finish(traffic);
}

#[test]
fn a_cluster_works_over_slow_and_lossy_links() {
    let mut disturbed = match Disturbed::start(3) {
        Ok(disturbed) => disturbed,
        Err(reason) => return skipped("a_cluster_works_over_slow_and_lossy_links", &reason),
    };
    let traffic = disturbed.traffic();
    let faults = [
        Faults {
            delay: Duration::from_millis(100),
            ..Faults::default()
        },
        Faults {
            loss_percent: 30,
            ..Faults::default()
        },
        Faults {
            bandwidth: Some(256 << 10),
            ..Faults::default()
        },
    ];
    for faults in faults {
        disturbed.links.iter().for_each(|link| link.set(faults));
        std::thread::sleep(Duration::from_secs(if long() { 60 } else { 3 }));
        traffic.wait_progress(&disturbed.urls());
        disturbed.heal();
    }
    // Connections that break all the time.
    for _ in 0..if long() { 300 } else { 10 } {
        disturbed.links.iter().for_each(Proxy::break_connections);
        std::thread::sleep(Duration::from_millis(200));
    }
    disturbed.finish(traffic);
}
