//! Which files are loaded, set aside and removed.
use std::path::{Path, PathBuf};

use varve_proto::raftpb::{ConfState, Snapshot, SnapshotMetadata};
use varve_proto::walpb;
use varve_snap::{Error, Snapshotter};
use varve_vfs::{Fault, Fs, OpenOptions, SimFs};

const DIR: &str = "/member/snap";

pub(crate) fn snapshot(term: u64, index: u64) -> Snapshot {
    let conf_state = ConfState {
        voters: vec![1],
        ..ConfState::default()
    };
    Snapshot {
        data: Some(vec![b'x'; 2000].into()),
        metadata: SnapshotMetadata {
            conf_state,
            index,
            term,
        },
    }
}

pub(crate) fn recorded(snapshots: &[Snapshot]) -> Vec<walpb::Snapshot> {
    let record = |s: &Snapshot| walpb::Snapshot {
        index: s.metadata.index,
        term: s.metadata.term,
        conf_state: Some(s.metadata.conf_state.clone()),
    };
    snapshots.iter().map(record).collect()
}

pub(crate) fn fresh() -> (SimFs, Snapshotter) {
    let sim = SimFs::new();
    sim.create_dir_all(Path::new(DIR), 0o700).unwrap();
    sim.sync_everything();
    let snapshotter = Snapshotter::new(sim.shared(), DIR);
    (sim, snapshotter)
}

fn touch(sim: &SimFs, name: &str) {
    sim.open(&Path::new(DIR).join(name), OpenOptions::create_new())
        .unwrap();
}

fn names(sim: &SimFs) -> Vec<String> {
    sim.read_dir(Path::new(DIR)).unwrap()
}

fn file_names(paths: &[PathBuf]) -> Vec<&str> {
    paths
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect()
}

#[test]
fn the_newest_snapshot_the_log_knows_is_loaded() {
    let (_sim, snapshotter) = fresh();
    let all = [
        snapshot(1, 30),
        snapshot(2, 10),
        snapshot(2, 20),
        snapshot(16, 40),
    ];
    for one in &all {
        snapshotter.save(one).unwrap();
    }
    let load = |known: &[Snapshot]| snapshotter.load_newest_valid(&recorded(known)).unwrap();
    assert_eq!(load(&all), Some(all[3].clone()));
    assert_eq!(load(&all[..3]), Some(all[2].clone()));
    assert_eq!(load(&all[..1]), Some(all[0].clone()));
    assert_eq!(load(&[snapshot(3, 40)]), None, "the term counts as well");
    assert_eq!(load(&[]), None);
}

#[test]
fn broken_snapshots_are_set_aside_and_the_next_older_one_is_loaded() {
    let (sim, snapshotter) = fresh();
    let (good, bad) = (snapshot(1, 10), snapshot(1, 20));
    snapshotter.save(&good).unwrap();
    let path = snapshotter.save(&bad).unwrap();
    sim.open(&path, OpenOptions::read_write())
        .unwrap()
        .write_all_at(b"?", 1000)
        .unwrap();
    touch(&sim, "0000000000000001-0000000000000030.snap");
    let other = sim
        .read(&Path::new(DIR).join("0000000000000001-000000000000000a.snap"))
        .unwrap();
    let misnamed = Path::new(DIR).join("0000000000000001-0000000000000015.snap");
    let file = sim.open(&misnamed, OpenOptions::create_new()).unwrap();
    file.write_all_at(&other, 0).unwrap();
    let refused = snapshotter.read(&misnamed).unwrap_err();
    assert!(matches!(
        refused,
        Error::Misnamed {
            found_term: 1,
            found_index: 10,
            ..
        }
    ));

    let known = recorded(&[good.clone(), bad]);
    assert_eq!(snapshotter.load_newest_valid(&known).unwrap(), Some(good));
    assert_eq!(
        names(&sim),
        [
            "0000000000000001-000000000000000a.snap",
            "0000000000000001-0000000000000014.snap.broken",
            "0000000000000001-0000000000000015.snap.broken",
            "0000000000000001-0000000000000030.snap.broken",
        ]
    );
}

#[test]
fn a_failing_disk_is_not_a_broken_snapshot() {
    let (sim, snapshotter) = fresh();
    let one = snapshot(1, 10);
    snapshotter.save(&one).unwrap();
    sim.fail_at(sim.op_count(), Fault::Crash);
    touch_after_crash(&sim);
    let failed = snapshotter
        .load_newest_valid(&recorded(std::slice::from_ref(&one)))
        .unwrap_err();
    assert!(!failed.is_corruption());
    sim.heal();
    assert_eq!(
        snapshotter
            .load_newest_valid(&recorded(std::slice::from_ref(&one)))
            .unwrap(),
        Some(one)
    );
}

fn touch_after_crash(sim: &SimFs) {
    assert!(sim.sync_dir(Path::new(DIR)).is_err());
}

#[test]
fn leftovers_go_and_everything_else_stays() {
    let (sim, snapshotter) = fresh();
    for name in [
        "db",
        "db.tmp.123",
        "tmp0815",
        "tmp.x.snap",
        "000000000000000a.snap.db",
    ] {
        touch(&sim, name);
    }
    let removed = snapshotter.clean_leftovers().unwrap();
    assert_eq!(
        file_names(&removed),
        ["db.tmp.123", "tmp.x.snap", "tmp0815"]
    );
    assert_eq!(names(&sim), ["000000000000000a.snap.db", "db"]);
}

#[test]
fn purging_keeps_the_newest_snapshots_and_every_database_that_may_still_be_wanted() {
    let (sim, snapshotter) = fresh();
    for index in 1..=4 {
        snapshotter.save(&snapshot(1, index)).unwrap();
        touch(&sim, &format!("{index:016x}.snap.db"));
    }
    touch(&sim, "0000000000000001-0000000000000000.snap.broken");
    assert_eq!(snapshotter.purge(3).unwrap().len(), 1);
    assert_eq!(snapshotter.purge(3).unwrap().len(), 0);
    let kept = names(&sim);
    assert_eq!(kept.len(), 8);
    assert!(kept.contains(&"0000000000000001.snap.db".to_owned()));
    assert!(!kept.contains(&"0000000000000001-0000000000000001.snap".to_owned()));
}

#[test]
fn received_databases_below_an_index_are_released() {
    let (sim, snapshotter) = fresh();
    for index in [9, 10, 11] {
        touch(&sim, &format!("{index:016x}.snap.db"));
    }
    assert_eq!(
        snapshotter.db_path(11),
        Path::new(DIR).join("000000000000000b.snap.db")
    );
    let released = snapshotter.release_snap_dbs(10).unwrap();
    assert_eq!(file_names(&released), ["0000000000000009.snap.db"]);
    assert_eq!(names(&sim).len(), 2);
}
