//! What stands in the log when a commit index was put off.
use std::path::Path;

use varve_proto::raftpb::{Entry, MessageType};
use varve_vfs::{DynFs, SimFs};
use varve_wal::{Replay, Wal, WalOptions};

use super::*;

const DIR: &str = "/wal";

pub(crate) fn writer(fs: &DynFs) -> LogWriter {
    let options = WalOptions {
        // What is written beside the log would be counted, too.
        prefill: false,
        inline_pipeline: true,
        ..WalOptions::default()
    };
    let appender = Wal::create(fs, Path::new(DIR), b"", options).unwrap();
    fs.create_dir_all(Path::new("/snap"), 0o700).unwrap();
    let snapshotter = Snapshotter::new(fs.clone(), "/snap");
    let state = HardState {
        term: 1,
        ..HardState::default()
    };
    LogWriter::new(appender, LogStore::default(), snapshotter, state)
}

fn replay(fs: &DynFs) -> Replay {
    let start = walpb::Snapshot::default();
    let reader = Wal::open_read_only(fs, Path::new(DIR), &start).unwrap();
    reader.read_all().unwrap()
}

pub(crate) fn entries(indexes: std::ops::RangeInclusive<u64>) -> Message {
    let entry = |index| Entry {
        term: 1,
        index,
        ..Entry::default()
    };
    Message {
        r#type: MessageType::MsgStorageAppend as i32,
        entries: indexes.map(entry).collect(),
        ..Message::default()
    }
}

fn commit(commit: u64) -> Message {
    Message {
        term: 1,
        commit,
        ..Message::default()
    }
}

#[test]
fn a_commit_index_that_was_put_off_goes_out_with_the_next_batch_or_the_end() {
    let fs = SimFs::new().shared();
    let writer = writer(&fs);
    writer.write(&[entries(1..=3)]).unwrap();
    assert!(writer.defer(&commit(2)));
    assert_eq!(replay(&fs).hard_state, None);
    writer.write(&[entries(4..=4)]).unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 2);
    assert!(writer.defer(&commit(4)));
    writer.flush().unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 4);
}

/// A commit index arrives while the disk hangs: the raft thread must not hang with it. (A wait would be one
/// for ever here.) The write under way is of an older state, and does not take the newer one with it.
#[test]
fn putting_a_commit_index_off_does_not_wait_for_the_write_under_way() {
    let fs = SimFs::new().shared();
    let writer = writer(&fs);
    writer.write(&[entries(1..=9)]).unwrap();
    let under_way = writer.inner.lock();
    assert!(writer.defer(&commit(7)));
    drop(under_way);
    let older = Message {
        entries: entries(10..=10).entries,
        ..commit(3)
    };
    writer.write(&[older]).unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 3);
    writer.flush().unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 7);
}

/// Others commit entries that are still to be written here: a start would refuse a log that ends before
/// what its last state calls committed.
#[test]
fn a_commit_index_never_gets_ahead_of_the_log_it_is_written_to() {
    let fs = SimFs::new().shared();
    let writer = writer(&fs);
    writer.write(&[entries(1..=3)]).unwrap();
    assert!(writer.defer(&commit(9)));
    writer.write(&[entries(4..=5)]).unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 5);
    // The rest is not forgotten.
    writer.write(&[entries(6..=9)]).unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 9);
    // A stop comes before the entries do.
    assert!(writer.defer(&commit(20)));
    writer.flush().unwrap();
    assert_eq!(replay(&fs).hard_state.unwrap().commit, 9);
}

#[test]
fn a_state_with_another_term_or_vote_is_not_put_off() {
    let fs = SimFs::new().shared();
    let writer = writer(&fs);
    let other_term = Message {
        term: 2,
        ..commit(1)
    };
    let other_vote = Message {
        vote: 7,
        ..commit(1)
    };
    assert!(!writer.defer(&other_term));
    assert!(!writer.defer(&other_vote));
    assert!(!writer.defer(&entries(1..=1)));
}

#[test]
fn a_received_snapshot_is_on_disk_and_in_the_log_before_the_entries_behind_it() {
    let fs = SimFs::new().shared();
    let writer = writer(&fs);
    writer.write(&[entries(1..=3)]).unwrap();
    let mut snapshot = Snapshot::default();
    snapshot.metadata.index = 50;
    snapshot.metadata.term = 1;
    snapshot.metadata.conf_state.voters = vec![1, 2];
    let job = Message {
        term: 1,
        commit: 50,
        snapshot: Some(snapshot),
        ..entries(51..=52)
    };
    let written = writer.write(&[job]).unwrap();
    assert!(written.synced);
    let valid = Wal::valid_snapshot_entries(&fs, Path::new(DIR)).unwrap();
    assert_eq!(valid.last().unwrap().index, 50);
    let snapshotter = Snapshotter::new(fs.clone(), "/snap");
    let found = snapshotter.load_newest_valid(&valid).unwrap().unwrap();
    assert_eq!(found.metadata.conf_state.voters, [1, 2]);
    let start = walpb::Snapshot {
        index: 50,
        term: 1,
        conf_state: None,
    };
    let reader = Wal::open_read_only(&fs, Path::new(DIR), &start).unwrap();
    let indexes: Vec<u64> = reader
        .read_all()
        .unwrap()
        .entries
        .iter()
        .map(|e| e.index)
        .collect();
    assert_eq!(indexes, [51, 52]);
}

#[test]
fn appends_that_wait_together_are_one_write_and_one_sync() {
    let disk = SimFs::new();
    let fs = disk.shared();
    let writer = writer(&fs);
    let before = disk.counts();
    let state = Message {
        vote: 2,
        ..commit(3)
    };
    writer
        .write(&[entries(1..=3), entries(4..=4), state, entries(5..=6)])
        .unwrap();
    let after = disk.counts();
    assert_eq!(after.writes - before.writes, 1);
    assert_eq!(after.file_syncs - before.file_syncs, 1);
    let read = replay(&fs);
    assert_eq!(read.entries.len(), 6);
    let state = read.hard_state.unwrap();
    assert_eq!((state.vote, state.commit), (2, 3));
}

/// A follower may get entries of a new leader before those they replace are written.
#[test]
fn entries_that_replace_others_of_the_same_write_are_what_is_read() {
    let fs = SimFs::new().shared();
    let writer = writer(&fs);
    let mut replacing = entries(3..=4);
    for entry in &mut replacing.entries {
        entry.term = 2;
    }
    replacing.term = 2;
    writer.write(&[entries(1..=5), replacing]).unwrap();
    let read = replay(&fs);
    let ids: Vec<_> = read.entries.iter().map(|e| (e.term, e.index)).collect();
    assert_eq!(ids, [(1, 1), (1, 2), (2, 3), (2, 4)]);
    assert_eq!(read.hard_state.unwrap().term, 2);
}
