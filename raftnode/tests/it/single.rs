//! One member: proposals, reads, restarts, snapshots, locks, stops.
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use varve_vfs::{DynFs, SimFs};

use super::counter::{Running, SNAP, start, wait_replayed};

const SOON: Duration = Duration::from_secs(30);

fn propose(running: &Running, from: u32, to: u32) {
    for i in from..to {
        running
            .node
            .propose(u64::from(i), Bytes::from(i.to_string()))
            .unwrap();
    }
    for i in from..to {
        let (_, data) = running.told.recv_timeout(SOON).unwrap();
        assert_eq!(data, i.to_string());
    }
}

#[test]
fn proposals_are_applied_in_order_and_survive_a_restart() {
    let fs: DynFs = SimFs::new().shared();
    let running = start(&fs, 1_000_000).unwrap();
    propose(&running, 0, 500);
    let before = running.applied.lock().clone();
    running.node.stop();
    drop(running);

    let running = start(&fs, 1_000_000).unwrap();
    wait_replayed(&running);
    assert_eq!(*running.applied.lock(), before);
    for _ in 0..500 {
        running.told.recv_timeout(SOON).unwrap();
    }
    propose(&running, 500, 510);
    assert!(running.node.published().reads_are_linearizable());
    running.node.stop();
}

#[test]
fn a_read_index_covers_what_was_applied_before_it() {
    let fs: DynFs = SimFs::new().shared();
    let running = start(&fs, 1_000_000).unwrap();
    propose(&running, 0, 10);
    let applied = running.node.status().applied;
    let (done, index) = channel();
    for _ in 0..3 {
        let done = done.clone();
        running
            .node
            .read_index(Box::new(move |r| {
                let _gone = done.send(r);
            }))
            .unwrap();
    }
    for _ in 0..3 {
        assert!(index.recv_timeout(SOON).unwrap().unwrap() >= applied);
    }
    running.node.stop();
}

/// Many more entries than fit a segment or the kept log: the member must start from a snapshot.
#[test]
fn snapshots_let_the_log_go_and_a_restart_begins_there() {
    let fs: DynFs = SimFs::new().shared();
    let running = start(&fs, 100).unwrap();
    let wide = |i: u32| Bytes::from(format!("{i:01000}"));
    for round in 0..10 {
        for i in 0..110 {
            running.node.propose(1, wide(round * 110 + i)).unwrap();
        }
        for _ in 0..110 {
            running.told.recv_timeout(SOON).unwrap();
        }
        running.snapshots.recv_timeout(SOON).unwrap();
    }
    let before = running.applied.lock().clone();
    running.node.stop();
    drop(running);
    let snaps = fs.read_dir(std::path::Path::new(SNAP)).unwrap();
    assert!(snaps.len() <= 2, "only --max-snapshots stay: {snaps:?}");
    let segments = fs
        .read_dir(std::path::Path::new(super::counter::WAL))
        .unwrap();
    let first = segments.iter().find(|n| n.contains('-')).unwrap();
    assert!(
        !first.starts_with("0000000000000000-"),
        "old segments were purged: {segments:?}"
    );

    let running = start(&fs, 100).unwrap();
    assert!(running.commit_at_start > 1000);
    wait_replayed(&running);
    assert_eq!(*running.applied.lock(), before);
    running.node.stop();
}

#[test]
fn a_second_member_cannot_open_a_log_that_is_in_use() {
    let fs: DynFs = SimFs::new().shared();
    let running = start(&fs, 100).unwrap();
    propose(&running, 0, 1);
    let error = start(&fs, 100).err().expect("the log is locked");
    assert!(error.to_string().contains("lock"), "{error}");
    running.node.stop();
}

#[test]
fn a_stopped_member_refuses_requests() {
    let fs: DynFs = SimFs::new().shared();
    let running = start(&fs, 100).unwrap();
    running.node.stop();
    let refused = running.node.propose(1, Bytes::from_static(b"x"));
    assert_eq!(refused, Err(varve_raftnode::RequestError::Stopped));
    let (done, answer) = channel();
    let read = running.node.read_index(Box::new(move |r| {
        let _gone = done.send(r);
    }));
    assert_eq!(read, Err(varve_raftnode::RequestError::Stopped));
    assert!(answer.recv().is_err());
}
