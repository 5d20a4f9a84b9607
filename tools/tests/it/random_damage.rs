//! Whatever bytes a file holds, the tools end with a verdict: no panic, no endless loop.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Parser as _;
use proptest::prelude::*;
use varve_backend::{Batch, Bucket, Engine as _};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_proto::raftpb::{ConfState, Entry, HardState};
use varve_proto::walpb::Snapshot;
use varve_tools::{Console, DumpDbCli, DumpWalCli, dump_db, dump_wal};
use varve_vfs::RealFs;
use varve_wal::{Wal, WalOptions};

/// Bytes changed at places given as parts of the length, and where the file is cut.
type Damage = (Vec<(u16, u8)>, Option<u16>);

fn damage() -> impl Strategy<Value = Damage> {
    let changes = prop::collection::vec((any::<u16>(), any::<u8>()), 0..5);
    (changes, prop::option::weighted(0.2, any::<u16>()))
}

fn apply((changes, cut): &Damage, sound: &[u8]) -> Vec<u8> {
    let place = |part: u16| usize::from(part) * sound.len() / (usize::from(u16::MAX) + 1);
    let mut bytes = sound.to_vec();
    for (part, byte) in changes {
        bytes[place(*part)] = *byte;
    }
    bytes.truncate(cut.map_or(bytes.len(), place));
    bytes
}

/// Runs a tool in this process; whether it found all sound, or why it could not look.
fn verdict(
    tool: impl FnOnce(&mut Console<'_>) -> anyhow::Result<bool>,
) -> (anyhow::Result<bool>, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = tool(&mut Console::new(&mut out, &mut err));
    (outcome, String::from_utf8(err).unwrap())
}

/// Damage is told, whoever finds it.
fn check((outcome, err): (anyhow::Result<bool>, String)) -> Result<(), TestCaseError> {
    if matches!(outcome, Ok(false)) {
        prop_assert!(err.contains("error: "), "{err:?}");
    }
    Ok(())
}

fn sound_log() -> &'static [u8] {
    static LOG: OnceLock<Vec<u8>> = OnceLock::new();
    LOG.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("wal");
        let options = WalOptions {
            segment_size_bytes: 4096,
            ..WalOptions::default()
        };
        let mut log = Wal::create(&RealFs::shared(), &dir, &[8, 1, 16, 2], options).unwrap();
        for index in 1..=30 {
            let data = match index % 3 {
                0 => vec![0x22, 5, 0x0a, 1, b'k', 0x12, 0],
                1 => b"\x08\x01\x12\x03PUT\x1a\x02/a\x22\x01b".to_vec(),
                _ => vec![8, 1, 16, 0, 24, 7, 34, 2, b'{', b'}'],
            };
            let entry = Entry {
                r#type: i32::from(index % 3 == 2),
                term: 1,
                index,
                data: Some(data.into()),
            };
            let state = HardState {
                term: 1,
                vote: 1,
                commit: index,
            };
            log.save(Some(&state), &[entry], false).unwrap();
        }
        let conf_state = ConfState {
            voters: vec![1],
            ..ConfState::default()
        };
        log.save_snapshot(&Snapshot {
            index: 9,
            term: 1,
            conf_state: Some(conf_state),
        })
        .unwrap();
        log.close().unwrap();
        std::fs::read(dir.join("0000000000000000-0000000000000000.wal")).unwrap()
    })
}

fn sound_db() -> &'static [u8] {
    static DB: OnceLock<Vec<u8>> = OnceLock::new();
    DB.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("db");
        let options = BtreeOptions {
            page_size: 512,
            ..BtreeOptions::default()
        };
        let engine = BtreeEngine::open(RealFs::shared(), &path, options).unwrap();
        let mut batch = Batch::new();
        for revision in 1..=40_i64 {
            let key = varve_mvcc::RowKey::put(varve_mvcc::Revision::new(revision, 0)).encode();
            // key "k", create, mod, version, value "v".
            let low = u8::try_from(revision).unwrap();
            let value = vec![0x0a, 1, b'k', 0x10, 1, 0x18, low, 0x20, low, 0x2a, 1, b'v'];
            batch.put(Bucket::new("key"), key, value.into());
        }
        for bucket in ["lease", "authUsers", "authRoles", "meta", "cluster"] {
            batch.put(
                Bucket::new(bucket),
                "consistent_index".into(),
                vec![0x0a; 8].into(),
            );
        }
        engine.commit(&batch).unwrap();
        std::fs::read(&path).unwrap()
    })
}

#[test]
fn what_is_damaged_here_is_sound_before() {
    let scratch = tempfile::tempdir().unwrap();
    let name = "member/wal/0000000000000000-0000000000000000.wal";
    file(&scratch, name, sound_log());
    let verify = args("etcd-dump-wal", &["--verify", "PATH"], scratch.path());
    let cli = DumpWalCli::parse_go_style(verify).unwrap();
    let (outcome, err) = verdict(|console| dump_wal(&cli, console));
    assert!(outcome.unwrap(), "{err}");
    let path = file(&scratch, "db", sound_db());
    let check = args("etcd-dump-db", &["check", "PATH"], &path);
    let cli = DumpDbCli::try_parse_from(check).unwrap();
    let (outcome, err) = verdict(|console| dump_db(&cli, console));
    assert!(outcome.unwrap(), "{err}");
}

fn args(tool: &str, args: &[&str], path: &Path) -> Vec<OsString> {
    let given = args.iter().map(|arg| match *arg {
        "PATH" => path.as_os_str().to_owned(),
        arg => arg.into(),
    });
    std::iter::once(tool.into()).chain(given).collect()
}

/// A file in a directory of its own.
fn file(scratch: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

proptest! {
    #[test]
    fn any_log_is_shown_as_far_as_it_goes(damage in damage()) {
        let scratch = tempfile::tempdir().unwrap();
        let name = "member/wal/0000000000000000-0000000000000000.wal";
        file(&scratch, name, &apply(&damage, sound_log()));
        let path = scratch.path();
        for given in [
            &["PATH"][..],
            &["--start-index", "1", "--members", "PATH"],
            &["--json", "PATH"],
            &["--raw", "PATH"],
            &["--raw", "--json", "PATH"],
            &["--stat", "PATH"],
            &["--verify", "PATH"],
        ] {
            let cli = DumpWalCli::parse_go_style(args("etcd-dump-wal", given, path)).unwrap();
            check(verdict(|console| dump_wal(&cli, console)))?;
        }
    }

    #[test]
    fn any_database_is_shown_as_far_as_it_goes(damage in damage()) {
        let scratch = tempfile::tempdir().unwrap();
        let path = file(&scratch, "db", &apply(&damage, sound_db()));
        for given in [
            &["list-bucket", "PATH"][..],
            &["iterate-bucket", "--decode", "PATH", "key"],
            &["iterate-bucket", "--decode", "--json", "PATH", "authUsers"],
            &["scan-keys", "PATH", "0"],
            &["hash", "PATH"],
            &["hash-kv", "PATH"],
            &["info", "PATH"],
            &["check", "PATH"],
            &["pages", "PATH"],
            &["page", "PATH", "0", "1", "2", "5", "7"],
            &["tree", "PATH"],
        ] {
            let cli = DumpDbCli::try_parse_from(args("etcd-dump-db", given, &path)).unwrap();
            check(verdict(|console| dump_db(&cli, console)))?;
        }
    }
}
