//! Members that are killed, stand still, lose their disk's space, leave and come back, under traffic.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use varve_sim::Rng;

use super::bootstrap::three;
use super::changes::add;
use super::group::{Group, varve};
use super::long;
use super::traffic::{Plan, Traffic};
use crate::harness::skipped;

/// Judges the clients, and that the members agree.
pub(crate) fn finish(group: &Group, traffic: Traffic) {
    traffic.wait_progress(&group.urls());
    traffic.finish();
    group.equal_hashes();
    group.assert_no_damage();
}

#[test]
fn members_that_are_killed_at_random_come_back_with_everything() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("members_that_are_killed_at_random", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    let mut rng = Rng::new(7);
    for round in 0..if long() { 60 } else { 4 } {
        traffic.wait_progress(&urls);
        // One, two or all of them at once.
        let count = [1, 2, 1, 3][round % 4];
        let first = usize::try_from(rng.below(3)).unwrap();
        let down: Vec<usize> = (0..count).map(|i| (first + i) % 3).collect();
        for &seat in &down {
            group.seats[seat].kill();
        }
        std::thread::sleep(Duration::from_millis(rng.between(0, 1500)));
        for &seat in &down {
            group.start(seat, &[seat], "existing");
        }
        for &seat in &down {
            group.wait_healthy(seat);
        }
    }
    finish(&group, traffic);
}

#[test]
fn five_members_go_on_with_two_down() {
    let programs = (0..5).map(|_| varve("3.6")).collect();
    let mut group = match Group::new(programs) {
        Ok(group) => group,
        Err(reason) => return skipped("five_members_go_on_with_two_down", &reason),
    };
    group.start_all();
    let plan = Plan {
        clients: 2,
        ..Plan::default()
    };
    let traffic = Traffic::start(group.urls(), plan);
    for _ in 0..if long() { 20 } else { 1 } {
        traffic.wait_progress(&group.urls());
        // The leader and another one.
        let leader = group.leader();
        let down = [leader, (leader + 2) % 5];
        for seat in down {
            group.seats[seat].kill();
        }
        traffic.wait_progress(&group.urls());
        std::thread::sleep(Duration::from_secs(1));
        for seat in down {
            group.restart(seat);
        }
    }
    finish(&group, traffic);
}

/// Pauses: the whole process stands still most of the time, in short beats.
#[test]
fn a_member_that_pauses_holds_nobody_up_for_long_and_loses_nothing() {
    let group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_member_that_pauses", &reason),
    };
    let urls = group.urls();
    let traffic = Traffic::start(urls.clone(), Plan::default());
    for round in 0..if long() { 10 } else { 2 } {
        traffic.wait_progress(&urls);
        let leader = group.leader();
        // A follower; then the leader.
        let paused = if round % 2 == 0 {
            (leader + 1) % 3
        } else {
            leader
        };
        for _ in 0..if long() { 100 } else { 20 } {
            group.seats[paused].signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(180));
            group.seats[paused].signal(Signal::CONT);
            std::thread::sleep(Duration::from_millis(20));
        }
        let others: Vec<String> = (0..3)
            .filter(|&i| i != paused)
            .map(|i| urls[i].clone())
            .collect();
        traffic.wait_progress(&others);
    }
    finish(&group, traffic);
}

#[test]
fn a_member_is_removed_and_added_again_under_load() {
    let mut group = match three() {
        Ok(group) => group,
        Err(reason) => return skipped("a_member_is_removed_and_added_again", &reason),
    };
    let traffic = Traffic::start(group.urls(), Plan::default());
    for round in 0..if long() { 10 } else { 2 } {
        traffic.wait_progress(&group.urls());
        let leader = group.leader();
        // A follower; then the leader.
        let seat = if round % 2 == 0 {
            (leader + 1) % 3
        } else {
            leader
        };
        let others: Vec<usize> = (0..3).filter(|&i| i != seat).collect();
        let id = group.id(others[0], seat);
        group.ctl_at_last(&others, &["member", "remove", &id]);
        assert!(group.seats[seat].wait_end().success());
        traffic.set_urls(group.urls());
        traffic.wait_progress(&group.urls());
        std::fs::remove_dir_all(&group.seats[seat].data_dir).unwrap();
        add(&mut group, &others, round % 4 < 2, seat);
        if round % 4 < 2 {
            let new = group.id(others[0], seat);
            group.ctl_at_last(&others, &["member", "promote", &new]);
        }
        group.wait_healthy(seat);
        traffic.set_urls(group.urls());
    }
    finish(&group, traffic);
}

/// A file system in memory with little space. It ends with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; an error says why that cannot be.
    fn mount(at: &Path, megabytes: u32) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount a small file system".to_owned());
        }
        std::fs::create_dir_all(at).unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(at)
            .output()
            .map_err(|error| format!("mount: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "mount: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        Ok(Self(at.to_owned()))
    }

    /// Takes all space but about so many bytes.
    fn fill(&self, leave: u64) {
        const PIECE: u64 = 256 << 10;
        let ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        let mut taken = 0;
        loop {
            let stat = rustix::fs::statvfs(&self.0).unwrap();
            if stat.f_bavail * stat.f_frsize < leave + PIECE {
                return;
            }
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&ballast, flags, taken, PIECE) {
                Ok(()) => taken += PIECE,
                // The member took it meanwhile.
                Err(rustix::io::Errno::NOSPC) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Members on it may end just now.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_member_whose_disk_is_full_stops_and_comes_back_when_there_is_space() {
    let mut group = match Group::new(vec![varve("3.6"), varve("3.6"), varve("3.6")]) {
        Ok(group) => group,
        Err(reason) => return skipped("a_member_whose_disk_is_full", &reason),
    };
    // Segments of the log are 64 MiB each; the database grows.
    let megabytes = if long() { 2000 } else { 600 };
    let disk = match SmallDisk::mount(&group.dir.path().join("small"), megabytes) {
        Ok(disk) => disk,
        Err(reason) => return skipped("a_member_whose_disk_is_full", &reason),
    };
    let seat = 1;
    group.seats[seat].data_dir = disk.0.join("data");
    group.start_all();
    let plan = Plan {
        value_bytes: 20_000,
        ..Plan::default()
    };
    let traffic = Traffic::start(group.urls(), plan);
    for round in 0..if long() { 6 } else { 2 } {
        traffic.wait_progress(&group.urls());
        // It follows; then it leads.
        let leads = group.leader() == seat;
        if leads != (round % 2 == 1) {
            let to = if leads { (seat + 1) % 3 } else { seat };
            let id = group.id(seat, to);
            group.ctl_at_last(&[0, 1, 2], &["move-leader", &id]);
        }
        disk.fill(1 << 20);
        let status = group.seats[seat].wait_end();
        assert!(!status.success());
        let output = group.seats[seat].output();
        assert!(output.contains("No space left on device"), "{output}");
        traffic.wait_progress(&group.urls());
        // It does not come back while there is no space, and says why.
        group.start(seat, &[seat], "existing");
        assert!(!group.seats[seat].wait_end().success());
        disk.free();
        group.restart(seat);
    }
    finish(&group, traffic);
    drop(group);
}
