//! What is saved is replayed.
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{Fs, SimFs};
use varve_wal::{Error, SyncObserver, Wal};

use crate::support::{METADATA, create, dir, entry, open, options, snapshot, state, zero};

#[derive(Clone, Debug)]
enum Step {
    /// Entries of a term from an index at most one past the end, overriding what is there.
    Save {
        back: u64,
        sizes: Vec<usize>,
        commit: bool,
        sync: bool,
    },
    NewTerm,
    Snapshot,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u64, proptest::collection::vec(0..1500usize, 0..6), any::<bool>(), any::<bool>())
            .prop_map(|(back, sizes, commit, sync)| Step::Save { back, sizes, commit, sync }),
        1 => Just(Step::NewTerm),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_replay_is_what_a_naive_log_holds(steps in proptest::collection::vec(step(), 1..30)) {
        let sim = SimFs::new();
        let mut log = create(&sim);
        // The model: index of the last snapshot and the entries from index 1 on.
        let (mut entries, mut term, mut hard): (Vec<Entry>, _, _) = (Vec::new(), 1, None);
        let mut start = zero();
        for step in steps {
            match step {
                Step::Save { back, sizes, commit, sync } => {
                    let keep = (entries.len() as u64).saturating_sub(back).max(start.index);
                    if !sizes.is_empty() {
                        entries.truncate(usize::try_from(keep).unwrap());
                    }
                    let batch: Vec<_> =
                        (keep + 1..).zip(&sizes).map(|(i, size)| entry(term, i, *size)).collect();
                    entries.extend(batch.iter().cloned());
                    let state = commit.then(|| state(term, entries.len() as u64));
                    log.save(state.as_ref(), &batch, sync).unwrap();
                    hard = state.or(hard);
                }
                Step::NewTerm => term += 1,
                Step::Snapshot => {
                    if let Some(last) = entries.last() {
                        start = snapshot(last.term, last.index);
                        log.save_snapshot(&start).unwrap();
                        log.release_to(start.index).unwrap();
                    }
                }
                Step::Reopen => {
                    log.close().unwrap();
                    let (replay, again) = open(&sim, &start).unwrap();
                    prop_assert_eq!(&replay.metadata[..], METADATA);
                    prop_assert_eq!(replay.hard_state, hard);
                    prop_assert!(replay.snapshot_matched);
                    let from = usize::try_from(start.index).unwrap();
                    prop_assert_eq!(&replay.entries[..], &entries[from..]);
                    prop_assert_eq!(again.last_index(), entries.len() as u64);
                    let seen = Wal::open_read_only(&sim.shared(), dir(), &start).unwrap();
                    prop_assert_eq!(seen.read_all().unwrap(), replay);
                    log = again;
                }
            }
        }
    }
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    let before = sim.counts();
    let batch: Vec<_> = (1..=16).map(|i| entry(1, i, 32)).collect();
    let stats = log.save(Some(&state(1, 0)), &batch, true).unwrap();
    let after = sim.counts();
    assert_eq!(after.writes - before.writes, 1);
    assert_eq!(after.file_syncs - before.file_syncs, 1);
    assert_eq!(
        after.written_bytes - before.written_bytes,
        stats.written_bytes
    );
    assert!(stats.synced && !stats.cut);

    let stats = log.save(Some(&state(1, 16)), &[], false).unwrap();
    assert!(!stats.synced && stats.written_bytes > 0);
    assert_eq!(
        sim.counts().file_syncs,
        after.file_syncs,
        "a commit alone need not be durable"
    );
    log.sync().unwrap();
    log.sync().unwrap();
    assert_eq!(
        sim.counts().file_syncs,
        after.file_syncs + 1,
        "the second had nothing to do"
    );
}

#[test]
fn saving_nothing_costs_nothing() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    let before = sim.op_count();
    let stats = log.save(Some(&HardState::default()), &[], false).unwrap();
    assert_eq!((stats.written_bytes, sim.op_count()), (0, before));
}

#[test]
fn without_fsync_nothing_is_ever_synced() {
    let sim = SimFs::new();
    let unsafe_options = varve_wal::WalOptions {
        unsafe_no_fsync: true,
        ..options()
    };
    let mut log = Wal::create(&sim.shared(), dir(), METADATA, unsafe_options).unwrap();
    for index in 1..=20 {
        log.save(Some(&state(1, index)), &[entry(1, index, 500)], true)
            .unwrap();
    }
    log.close().unwrap();
    assert_eq!(sim.counts().file_syncs, 0);
    assert_eq!(open(&sim, &zero()).unwrap().0.entries.len(), 20);
}

#[test]
fn a_snapshot_record_above_index_0_needs_members() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    let refused = log.save_snapshot(&Snapshot {
        index: 5,
        term: 1,
        conf_state: None,
    });
    assert!(matches!(refused, Err(Error::ConfStateMissing { index: 5 })));
    // Refused before anything was written, so the log is as good as before.
    log.save_snapshot(&snapshot(1, 5)).unwrap();
    assert_eq!(log.last_index(), 5);
}

#[test]
fn a_start_the_log_does_not_know_is_told_or_refused() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    log.save(
        Some(&state(1, 3)),
        &[entry(1, 1, 10), entry(1, 2, 10), entry(1, 3, 10)],
        true,
    )
    .unwrap();
    log.save_snapshot(&snapshot(1, 2)).unwrap();
    log.close().unwrap();
    let fs = sim.shared();

    let (replay, _) = open(&sim, &snapshot(1, 1)).unwrap();
    assert!(
        !replay.snapshot_matched,
        "append mode tells and goes on, as etcd"
    );
    let unknown = Wal::verify(&fs, dir(), &snapshot(1, 1)).unwrap_err();
    assert!(matches!(unknown, Error::SnapshotNotFound { index: 1, .. }));
    let seen = Wal::open_read_only(&fs, dir(), &snapshot(1, 1))
        .unwrap()
        .read_all()
        .unwrap_err();
    assert!(matches!(seen, Error::SnapshotNotFound { index: 1, .. }));
    let mismatch = open(&sim, &snapshot(7, 2)).unwrap_err();
    assert!(matches!(
        mismatch,
        Error::SnapshotMismatch {
            expected: 7,
            found: 1,
            ..
        }
    ));
    assert_eq!(
        Wal::verify(&fs, dir(), &snapshot(1, 2)).unwrap(),
        state(1, 3)
    );
}

#[test]
fn a_log_is_created_once_and_replaces_what_is_no_log() {
    let sim = SimFs::new();
    let fs = sim.shared();
    sim.create_dir_all(&dir().with_file_name("wal.tmp"), 0o700)
        .unwrap();
    sim.create_dir_all(dir(), 0o700).unwrap();
    assert!(!Wal::exists(&fs, dir()).unwrap());
    drop(create(&sim));
    assert!(Wal::exists(&fs, dir()).unwrap());
    assert_eq!(sim.metadata(dir()).unwrap().mode, 0o700);
    let again = Wal::create(&fs, dir(), METADATA, options()).unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }));
    assert!(!Wal::exists(&fs, std::path::Path::new("/nowhere")).unwrap());
}

#[derive(Debug)]
struct Count(Arc<Mutex<Vec<&'static str>>>);

impl SyncObserver for Count {
    fn sync_begins(&mut self) {
        self.0.lock().unwrap().push("begins");
    }

    fn sync_ended(&mut self, ok: bool) {
        self.0
            .lock()
            .unwrap()
            .push(if ok { "ok" } else { "failed" });
    }
}

#[test]
fn an_observer_is_told_of_each_sync() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    let told = Arc::new(Mutex::new(Vec::new()));
    log.observe_syncs(Box::new(Count(Arc::clone(&told))));
    log.save(None, &[entry(1, 1, 10)], true).unwrap();
    log.save(None, &[entry(1, 2, 10)], false).unwrap();
    sim.fail_at(sim.op_count(), varve_vfs::Fault::Eio);
    log.sync().unwrap_err();
    assert_eq!(*told.lock().unwrap(), ["begins", "ok", "begins", "failed"]);
}

#[test]
fn reading_writes_nothing_and_locks_nothing() {
    let sim = SimFs::new();
    let fs = sim.shared();
    let mut log = create(&sim);
    for index in 1..=9 {
        log.save(Some(&state(1, index)), &[entry(1, index, 900)], true)
            .unwrap();
    }
    let before = sim.op_count();
    let read_only = Wal::open_read_only(&fs, dir(), &zero()).unwrap();
    assert!(read_only.records().unwrap().all(|record| record.is_ok()));
    assert_eq!(read_only.clone().read_all().unwrap().entries.len(), 9);
    assert!(
        Wal::open_all_read_only(&fs, dir())
            .unwrap()
            .read_all()
            .is_ok()
    );
    Wal::verify(&fs, dir(), &zero()).unwrap();
    Wal::valid_snapshot_entries(&fs, dir()).unwrap();
    assert_eq!(sim.op_count(), before);
    // And the log goes on while somebody reads it, behind a cut as well.
    for index in 10..=19 {
        log.save(None, &[entry(1, index, 900)], true).unwrap();
    }
    assert!(read_only.read_all().unwrap().entries.len() > 9);
    log.close().unwrap();
    assert_eq!(open(&sim, &zero()).unwrap().0.entries.len(), 19);
}

#[test]
fn replayed_entries_are_the_bytes_that_were_read_not_copies() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    // Most of the segment: few entries would get memory of their own, see the next test.
    let batch: Vec<_> = (1..=20).map(|index| entry(1, index, 100)).collect();
    log.save(None, &batch, true).unwrap();
    log.close().unwrap();
    let records = Wal::open_read_only(&sim.shared(), dir(), &zero()).unwrap();
    let offsets: Vec<_> = records
        .records()
        .unwrap()
        .map(|record| record.unwrap())
        .filter(|record| record.kind == varve_wal::RecordKind::Entry)
        .map(|record| usize::try_from(record.offset).unwrap())
        .collect();
    let (replay, _) = open(&sim, &zero()).unwrap();
    let places: Vec<_> = replay
        .entries
        .iter()
        .map(|entry| entry.data.as_ref().unwrap().as_ptr().addr())
        .collect();
    for pair in 1..20 {
        let apart = places[pair] - places[pair - 1];
        // As far apart in memory as in the file, but for the length of a checksum's varint.
        assert!(
            apart.abs_diff(offsets[pair] - offsets[pair - 1]) < 5,
            "{apart}"
        );
    }
}

#[test]
fn the_few_entries_of_a_log_do_not_keep_its_block_in_memory() {
    let sim = SimFs::new();
    let mut log = create(&sim);
    let batch: Vec<_> = (1..=3).map(|index| entry(1, index, 100)).collect();
    log.save(None, &batch, true).unwrap();
    log.close().unwrap();
    let (replay, _) = open(&sim, &zero()).unwrap();
    assert_eq!(replay.entries, batch);
    let places: Vec<_> = replay
        .entries
        .iter()
        .map(|entry| entry.data.as_ref().unwrap().as_ptr().addr())
        .collect();
    // Side by side, without the frames that stand between them in the file.
    assert_eq!(places[1] - places[0], 100);
    assert_eq!(places[2] - places[1], 100);
}
