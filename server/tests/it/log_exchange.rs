//! Logs of several segments and snapshots pass between Varve and etcd 3.5.1, through `kill -9` of either,
//! with a torn record at the end that the next one repairs.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use varve_proto::etcdserverpb::{CompactionRequest, PutRequest};
use varve_proto::prost::Message;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_snap::Snapshotter;
use varve_vfs::{Fs, RealFs};
use varve_wal::{RecordKind, SegmentName, Wal, WalOptions};

use crate::client::{Client, State, block_on, put};
use crate::golden;
use crate::harness::{Member, Program, Server, etcd_351, scratch, skipped};

/// One put; a segment of 64 MB takes 46 of them.
const VALUE_BYTES: usize = 1_400_000;
const PUTS: u8 = 50;

fn wal_dir(member: &Member) -> PathBuf {
    member.data_dir.join("member/wal")
}

/// Names in a directory that end so, ascending.
fn names(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let names = RealFs.read_dir(dir).unwrap().into_iter();
    names
        .filter(|name| name.ends_with(suffix))
        .map(|name| dir.join(name))
        .collect()
}

/// Where the log ends in a segment: the first length field that is zero.
fn log_end(segment: &Path) -> u64 {
    let bytes = std::fs::read(segment).unwrap();
    let mut at = 0;
    while let Some(field) = bytes.get(at..at + 8) {
        let field = u64::from_le_bytes(field.try_into().unwrap());
        if field == 0 {
            break;
        }
        let pad = if field >> 63 == 1 { field >> 56 & 7 } else { 0 };
        let len = (field & ((1 << 56) - 1)) + pad;
        at += 8 + usize::try_from(len).unwrap();
    }
    at as u64
}

/// Writes after the log what a power cut leaves of an entry of 4 kB: its first sectors.
fn tear(wal_dir: &Path) {
    let newest = names(wal_dir, ".wal").pop().unwrap();
    let mut torn = 4096_u64.to_le_bytes().to_vec();
    // Type 2, some checksum, 4085 bytes of data: a whole record, were it not for the zeros in it.
    torn.extend([
        0x08, 2, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x1a, 0xf5, 0x1f,
    ]);
    torn.resize(700, 0x55);
    torn.resize(8 + 4096, 0);
    let file = std::fs::File::options().write(true).open(&newest).unwrap();
    file.write_all_at(&torn, log_end(&newest)).unwrap();
    file.sync_all().unwrap();
}

async fn look(server: &Server) -> State {
    State::of(&mut Client::connect(server).await).await
}

/// Large values of few keys, so that the log grows and the store does not.
async fn write(server: &Server, turn: u8) -> State {
    let mut client = Client::connect(server).await;
    let mut revision = 0;
    for n in 0..PUTS {
        let large = PutRequest {
            value: vec![turn << 4 | n; VALUE_BYTES].into(),
            ..put(&format!("large/{}", n % 3), "")
        };
        client.kv.put(large).await.unwrap();
        revision = client.put(&format!("small/{turn}/{n}"), "v").await;
    }
    let compaction = CompactionRequest {
        revision,
        physical: true,
    };
    client.kv.compact(compaction).await.unwrap();
    State::of(&mut client).await
}

#[test]
fn logs_of_several_segments_pass_between_varve_and_etcd_through_kill_9_and_torn_tails() {
    let etcd = match etcd_351("etcd") {
        Ok(path) => Program {
            path,
            flags: Vec::new(),
        },
        Err(reason) => return skipped("logs_of_several_segments_pass_between", &reason),
    };
    let dir = scratch();
    let mut ours = Member::new(dir.path());
    // Everything is kept, so that the whole chain can be verified at the end.
    let keep = ["--snapshot-count=20", "--max-wals=0", "--max-snapshots=0"];
    ours.flags.extend(keep.map(str::to_owned));
    let theirs = Member {
        program: etcd,
        ..ours.clone()
    };
    let wal = wal_dir(&ours);
    let mut seen: Option<State> = None;
    for (turn, member) in (0..).zip([&ours, &theirs, &ours, &theirs]) {
        let server = member.start();
        if let Some(seen) = &seen {
            assert_eq!(&block_on(look(&server)), seen, "turn {turn}");
            let repaired = names(&wal, ".broken");
            assert_eq!(repaired.len(), usize::from(turn), "turn {turn}");
        }
        if turn == 3 {
            server.stop();
            break;
        }
        seen = Some(block_on(write(&server, turn)));
        server.kill();
        assert!(names(&wal, ".wal").len() >= usize::from(turn) + 2);
        tear(&wal);
    }
    let snapshots = names(&ours.data_dir.join("member/snap"), ".snap");
    assert!(snapshots.len() > 6, "{snapshots:?}");
    let state = Wal::verify(&RealFs::shared(), &wal, &Snapshot::default()).unwrap();
    assert!(state.commit > 3 * 2 * u64::from(PUTS), "{state:?}");
}

/// Writes the log in `from` anew into `to`: the same records in small segments, by our crates alone.
fn rewrite(from: &Path, to: &Path, options: WalOptions) {
    let fs = RealFs::shared();
    let log = Wal::open_read_only(&fs, from, &Snapshot::default()).unwrap();
    let metadata = log.clone().read_all().unwrap().metadata;
    let mut ours = Wal::create(&fs, to, &metadata, options).unwrap();
    for record in log.records().unwrap() {
        let record = record.unwrap();
        match record.kind {
            RecordKind::Entry => {
                let entry = Entry::decode(record.data).unwrap();
                ours.save(None, &[entry], false).unwrap();
            }
            RecordKind::State => {
                let state = HardState::decode(record.data).unwrap();
                ours.save(Some(&state), &[], true).unwrap();
            }
            RecordKind::Snapshot => {
                let snapshot = Snapshot::decode(record.data).unwrap();
                if snapshot.index > 0 {
                    ours.save_snapshot(&snapshot).unwrap();
                }
            }
            RecordKind::Metadata | RecordKind::Crc => {}
        }
    }
    ours.close().unwrap();
}

#[test]
fn etcd_starts_on_a_log_and_snapshots_that_our_crates_alone_wrote_tore_and_repaired() {
    const NAME: &str = "etcd_starts_on_a_log_and_snapshots_that_our_crates_alone_wrote";
    let etcd = match etcd_351("etcd") {
        Ok(path) => Program {
            path,
            flags: Vec::new(),
        },
        Err(reason) => return skipped(NAME, &reason),
    };
    let dir = scratch();
    let mut ours = Member::new(dir.path());
    let keep = ["--snapshot-count=20", "--max-wals=0", "--max-snapshots=0"];
    ours.flags.extend(keep.map(str::to_owned));
    let theirs = Member {
        program: etcd,
        ..ours.clone()
    };
    let server = theirs.start();
    let written = block_on(async {
        let mut client = Client::connect(&server).await;
        for n in 0..150 {
            client.put(&format!("k/{}", n % 40), &"v".repeat(n)).await;
        }
        State::of(&mut client).await
    });
    server.kill();

    // Log and snapshots anew, in segments of 4 kB; the database stays.
    let options = WalOptions {
        segment_size_bytes: 4096,
        ..WalOptions::default()
    };
    let wal = wal_dir(&ours);
    let original = wal.with_file_name("original");
    std::fs::rename(&wal, &original).unwrap();
    rewrite(&original, &wal, options);
    std::fs::remove_dir_all(&original).unwrap();
    let snap_dir = ours.data_dir.join("member/snap");
    let snapshotter = Snapshotter::new(RealFs::shared(), &snap_dir);
    let snapshots = names(&snap_dir, ".snap");
    for path in &snapshots {
        let snapshot = snapshotter.read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(&snapshotter.save(&snapshot).unwrap(), path);
    }
    assert!(names(&wal, ".wal").len() > 3 && snapshots.len() > 3);
    let fs = RealFs::shared();
    tear(&wal);
    assert!(Wal::repair(&fs, &wal).unwrap());
    if let Ok(golden) = golden::dir() {
        independently(&golden, &ours.data_dir, written.revision);
    }

    for member in [&theirs, &ours, &theirs] {
        let server = member.start();
        assert_eq!(block_on(look(&server)), written, "{:?}", member.program);
        server.kill();
    }
    let first = SegmentName::parse(
        &names(&wal, ".wal")[0]
            .file_name()
            .unwrap()
            .to_string_lossy(),
    );
    assert_eq!(first, Some(SegmentName::FIRST));
    Wal::verify(&fs, &wal, &Snapshot::default()).unwrap();
}

/// The reader that was written without ours replays the log to the same revision. (The database of a
/// killed member is behind its log.)
fn independently(golden: &Path, data_dir: &Path, revision: i64) {
    let replay = Command::new("python3")
        .arg(golden.join("reader/replay.py"))
        .arg(data_dir)
        .arg("old")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    let Ok(output) = replay else {
        return skipped("the independent reader", "there is no python3");
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{errors}");
    assert!(
        text.contains(&format!("revision {revision} key bucket")),
        "{text}"
    );
}
