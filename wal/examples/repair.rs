//! A longer life: created, appended to, left by a crash, repaired, continued, read by a tool meanwhile.
//!
//! Run it with `cargo run -p varve-wal --example repair`.
use std::io::Write as _;

use varve_proto::raftpb::{ConfState, Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::{OpenOptions, RealFs};
use varve_wal::{Wal, WalOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path().join("member/wal");
    let fs = RealFs::shared();
    let options = WalOptions::default();
    let start = Snapshot::default();

    let mut log = Wal::create(&fs, &dir, b"member 1 of cluster 2", options)?;
    let entry = |index| Entry {
        r#type: 0,
        term: 1,
        index,
        data: Some("put a 1".into()),
    };
    let state = HardState {
        term: 1,
        vote: 1,
        commit: 2,
    };
    let stats = log.save(Some(&state), &[entry(1), entry(2), entry(3)], true)?;
    writeln!(
        out,
        "saved three entries: {} bytes, durable: {}",
        stats.written_bytes, stats.synced
    )?;
    let members = ConfState {
        voters: vec![1],
        ..ConfState::default()
    };
    log.save_snapshot(&Snapshot {
        index: 2,
        term: 1,
        conf_state: Some(members),
    })?;
    let end = log.segment_bytes();
    // A crash: the appender goes without being closed, and half a record stands at the end.
    drop(log);
    let segment = dir.join("0000000000000000-0000000000000000.wal");
    let file = fs.open(&segment, OpenOptions::read_write())?;
    file.write_all_at(&[200, 3, 0, 0, 0, 0, 0, 0, 8, 2], end)?;
    drop(file);

    let (replay, mut log) = match Wal::open(&fs, &dir, &start, options)?.read_all() {
        Err(e) if e.is_repairable() => {
            writeln!(out, "after the crash: {e}")?;
            Wal::repair(&fs, &dir)?;
            Wal::open(&fs, &dir, &start, options)?.read_all()?
        }
        other => other?,
    };
    writeln!(
        out,
        "replayed {} entries, commit {:?}",
        replay.entries.len(),
        replay.hard_state
    )?;
    log.save(None, &[entry(log.last_index() + 1)], true)?;

    // A tool may look while the log is held.
    for record in Wal::open_read_only(&fs, &dir, &start)?.records()? {
        let record = record?;
        writeln!(
            out,
            "{:>6}  {:?}, {} bytes",
            record.offset,
            record.kind,
            record.data.len()
        )?;
    }
    log.close()?;
    Ok(())
}
