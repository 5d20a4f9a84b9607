//! A log that remembers every start of this program: `cargo run -p varve-wal --example session`, twice.
#![expect(clippy::print_stdout, reason = "a program that says something")]
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_vfs::RealFs;
use varve_wal::{Wal, WalOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (fs, dir) = (RealFs::shared(), std::env::temp_dir().join("varve-wal"));
    let (from, options) = (Snapshot::default(), WalOptions::default());
    if !Wal::exists(&fs, &dir)? {
        Wal::create(&fs, &dir, b"who this log belongs to", options)?.close()?;
    }
    let read = || Wal::open(&fs, &dir, &from, options)?.read_all();
    let (replay, mut log) = match read() {
        // The record a crash left unfinished was never acknowledged.
        Err(torn) if torn.is_repairable() => Wal::repair(&fs, &dir).and_then(|_| read()),
        opened => opened,
    }?; // Only who has read everything may append.
    let (term, vote, commit) = (1, 1, log.last_index() + 1);
    let entry = Entry {
        r#type: 0,
        term,
        index: commit,
        data: Some(format!("start {commit}").into()),
    };
    // One write, one fdatasync.
    log.save(Some(&HardState { term, vote, commit }), &[entry], true)?;
    println!("{} starts before this one", replay.entries.len());
    Ok(log.close()?)
}
