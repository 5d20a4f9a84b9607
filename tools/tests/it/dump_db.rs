//! `etcd-dump-db`, as a program: answers, damage, and a file that is being written.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use varve_backend::{Backend, BackendOptions, Batch, Bucket, Engine as _};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{Store, StoreOptions};
use varve_vfs::RealFs;

use crate::archive::members;
use crate::tool::{Run, run, run_in, state_of};

fn db(args: &[&str], path: &Path) -> Run {
    run("etcd-dump-db", args, path)
}

fn hash_kv(path: &Path, revision: i64) -> Result<(u32, i64), String> {
    let Run { code, out, err } = db(&["hash-kv", "--rev", &revision.to_string()], path);
    if code != Some(0) {
        return Err(err);
    }
    let number = |name: &str| {
        let line = out
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.parse::<i64>().unwrap()
    };
    Ok((
        u32::try_from(number("Hash: ")).unwrap(),
        number("compact revision: "),
    ))
}

#[test]
fn hashes_are_those_the_servers_gave_after_a_restart() {
    let golden = std::env::var_os("VARVE_GOLDEN").map(PathBuf::from);
    let mut compared = 0;
    members("", |name, dir| {
        let expected = golden
            .as_ref()
            .unwrap()
            .join(format!("expected/{name}.json"));
        let Ok(expected) = std::fs::read(expected) else {
            return;
        };
        let expected: Json = serde_json::from_slice(&expected).unwrap();
        let Some(hashes) = expected["after_restart"]["hashkv"].as_object() else {
            return;
        };
        // After a kill the log has more than the database, until a start applies it.
        let own = dir.file_name().unwrap().to_str() == Some(name);
        if !own || name.starts_with("kill9-") || name.starts_with("torn-") {
            return;
        }
        for (revision, answer) in hashes {
            let ours = hash_kv(dir, revision.parse().unwrap());
            match answer["hash"].as_u64() {
                Some(hash) => {
                    assert_eq!(
                        u64::from(ours.clone().unwrap().0),
                        hash,
                        "{name} at {revision}"
                    );
                    compared += 1;
                }
                // At the revision of the compaction 3.4 and 3.5.1 refuse.
                None => match ours {
                    Ok((_, compacted)) => assert_eq!(*revision, compacted.to_string(), "{name}"),
                    Err(e) => assert!(e.contains("mvcc: required revision"), "{name}: {e}"),
                },
            }
        }
    });
    assert!(golden.is_none() || compared > 100, "{compared}");
}

#[test]
fn a_database_of_ours_is_hashed_as_the_store_hashes_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    let engine = BtreeEngine::open(RealFs::shared(), &path, BtreeOptions::default()).unwrap();
    let backend = Backend::open(Arc::new(engine), BackendOptions::default()).unwrap();
    let options = StoreOptions {
        manual: true,
        ..StoreOptions::default()
    };
    let store = Store::open(backend, options).unwrap();
    let mut random = 1_u64;
    let mut below = |n: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % n
    };
    for round in 0..6 {
        for _ in 0..60 {
            let mut txn = store.write();
            let key = format!("k{}", below(12));
            if below(4) == 0 {
                txn.delete_range(&key.into(), &"".into()).unwrap();
            } else {
                txn.put(key.into(), format!("v{}", below(1000)).into(), 0)
                    .unwrap();
            }
            txn.end();
        }
        if round == 5 {
            // Nothing is left: another rule of etcd's.
            let mut txn = store.write();
            txn.delete_range(&"a".into(), &"z".into()).unwrap();
            txn.end();
        }
        let compacted = store.compact_revision();
        if round > 0 {
            let span = u64::try_from(store.revision() - compacted.max(0)).unwrap();
            let to = compacted.max(0) + 1 + i64::try_from(below(span)).unwrap();
            let to = if round == 5 { store.revision() } else { to };
            let mut txn = store.write();
            txn.compact(to).unwrap();
            txn.end();
            while store.step_compaction().unwrap() {}
        }
        store.backend().force_commit().unwrap();
        let compacted = store.compact_revision();
        for revision in [
            compacted.max(1) + 1,
            i64::midpoint(compacted, store.revision()),
            store.revision(),
        ] {
            let revision = revision.clamp(compacted.max(1), store.revision());
            if revision == compacted {
                // A store remembers what the compaction's own hash was; a file does not.
                continue;
            }
            let expected = store.hash_kv(revision).unwrap();
            let expected = (expected.hash, expected.compact_revision);
            assert_eq!(
                hash_kv(&path, revision),
                Ok(expected),
                "round {round} at {revision}"
            );
        }
        let Run { out, .. } = db(&["hash"], &path);
        let hash = store.hash().unwrap();
        assert!(
            out.ends_with(&format!("\nHash: {hash}\n")),
            "round {round}: {out} {hash}"
        );
    }
}

#[test]
fn paths_lead_to_the_database_or_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let snap = scratch.path().join("member/snap");
    std::fs::create_dir_all(&snap).unwrap();
    let missing = db(&["list-bucket"], scratch.path());
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.err.contains("there is no database in "),
        "{}",
        missing.err
    );
    assert_eq!(
        db(&["list-bucket"], &scratch.path().join("nowhere")).code,
        Some(1)
    );
    sound(&snap.join("db"), 10);
    for path in [scratch.path(), &snap, &snap.join("db")] {
        let Run { code, out, .. } = db(&["list-bucket"], path);
        assert_eq!((code, &*out), (Some(0), "key\nmeta\n"));
    }
    let Run { code, err, .. } = run_in(&snap, "etcd-dump-db", &["iterate-bucket", "db", "nope"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("got nil bucket for nope"), "{err}");
    assert_eq!(
        run_in(&snap, "etcd-dump-db", &["iterate-bucket", "db"]).code,
        Some(2)
    );
    assert_eq!(run_in(&snap, "etcd-dump-db", &["dump", "db"]).code, Some(2));
    let Run { out, .. } = run_in(
        &snap,
        "etcd-dump-db",
        &["iterate-bucket", "--limit=2", "db", "key"],
    );
    assert_eq!(out.lines().count(), 2);
    assert!(
        out.starts_with(r#"key="\x00\x00\x00\x00\x00\x00\x00\n_"#),
        "{out}"
    );
}

const KEY: Bucket = Bucket::new("key");
const META: Bucket = Bucket::new("meta");

fn row(revision: i64) -> (Vec<u8>, Vec<u8>) {
    use prost::Message as _;
    let key = varve_mvcc::RowKey::put(varve_mvcc::Revision::new(revision, 0)).encode();
    let kv = varve_proto::mvccpb::KeyValue {
        key: format!("k{revision}").into(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        value: vec![b'v'; 200].into(),
        lease: 0,
    };
    (key.to_vec(), kv.encode_to_vec())
}

/// A batch that puts a row, and the consistent index that goes with it.
fn batch(revisions: std::ops::RangeInclusive<i64>) -> Batch {
    let mut batch = Batch::new();
    let last = *revisions.end();
    for revision in revisions {
        let (key, value) = row(revision);
        batch.put(KEY, key.into(), value.into());
    }
    let index = last.to_be_bytes().to_vec();
    batch.put(META, "consistent_index".into(), index.into());
    batch
}

/// A database with rows 1 to `rows`.
fn sound(path: &Path, rows: i64) {
    let options = BtreeOptions::default();
    let engine = BtreeEngine::open(RealFs::shared(), path, options).unwrap();
    engine.commit(&batch(1..=rows)).unwrap();
    engine.commit(&batch(rows..=rows)).unwrap();
}

/// Number of pages of a kind, as `pages` lists them.
fn pages(path: &Path, kind: &str) -> Vec<usize> {
    let Run { out, .. } = db(&["pages"], path);
    let of_kind = out.lines().filter(|line| line.contains(kind));
    of_kind
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

/// A change to a page of a file.
type Change = fn(&mut Vec<u8>, usize);

#[test]
fn damage_is_told_with_file_offset_and_cause_and_changes_nothing() {
    // The page's kind, what happens to it, how far behind the page's beginning it is told, and as what.
    let cases: [(&str, Change, usize, &str); 12] = [
        ("meta", |bytes, at| bytes[at + 16] ^= 1, 16, "magic"),
        ("meta", |bytes, at| bytes[at + 20] ^= 1, 20, "version"),
        ("meta", |bytes, at| bytes[at + 40] ^= 1, 72, "checksum"),
        ("leaf", |bytes, at| bytes[at] ^= 1, 0, "page id"),
        ("leaf", |bytes, at| bytes[at + 8] ^= 4, 8, "page type"),
        (
            "leaf",
            |bytes, at| bytes[at + 11] = 0xff,
            10,
            "element count",
        ),
        ("leaf", |bytes, at| bytes[at + 15] = 0xff, 12, "overflow"),
        (
            "leaf",
            |bytes, at| bytes[at + 16 + 4 + 3] = 0xff,
            16,
            "element",
        ),
        (
            "leaf",
            |bytes, at| bytes[at + 16 + 12 + 3] = 0xff,
            16,
            "element",
        ),
        ("branch", |bytes, at| bytes[at + 8] = 0x20, 8, "page type"),
        (
            "branch",
            |bytes, at| bytes[at + 16 + 8 + 7] = 0xff,
            0,
            "page reference",
        ),
        // A cycle: a child that is the page itself.
        (
            "branch",
            |bytes, at| {
                let own: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
                bytes[at + 24..at + 32].copy_from_slice(&own);
            },
            0,
            "page",
        ),
    ];
    for (kind, change, offset, cause) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("db");
        sound(&path, 400);
        let page = pages(&path, kind)[usize::from(kind == "leaf")..][0];
        let at = page * 4096;
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes, at);
        std::fs::write(&path, bytes).unwrap();
        let before = state_of(scratch.path());
        let Run { code, out, err } = db(&["check"], &path);
        assert_eq!(code, Some(1), "{cause}: {out}");
        assert!(out.starts_with("DAMAGED: "), "{out}");
        let told = err.lines().any(|line| {
            let place = match cause {
                "page reference" => "offset 75",
                _ => &format!("offset {}: ", at + offset),
            };
            line.starts_with(&format!("error: {}: ", path.display()))
                && line.contains(cause)
                && (line.contains(place) || cause == "page reference")
        });
        assert!(told, "{kind} {cause} {}: {err}", at + offset);
        let json = db(&["check", "--json"], &path);
        let json: Json = serde_json::from_str(&json.out).unwrap();
        assert_eq!(json["ok"], false);
        for args in [
            &["info"][..],
            &["pages"],
            &["tree"],
            &["hash"],
            &["hash-kv"],
            &["list-bucket"],
        ] {
            // A damaged meta leaves the other; what else is damaged is not passed over by who reads it.
            let Run { code, .. } = db(args, &path);
            let reads_all = ["info", "hash"].contains(&args[0]);
            match kind {
                "meta" => assert_eq!(code, Some(0), "{cause}: {args:?}"),
                _ if reads_all => assert_eq!(code, Some(1), "{kind} {cause}: {args:?}"),
                _ => assert!(
                    code == Some(0) || code == Some(1),
                    "{kind} {cause}: {args:?}"
                ),
            }
        }
        assert_eq!(state_of(scratch.path()), before, "{cause}");
    }
}

#[test]
fn what_is_good_is_shown_before_damage_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    sound(&path, 400);
    let leaf = pages(&path, "leaf")[4];
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[leaf * 4096] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let Run { code, out, err } = run_in(
        scratch.path(),
        "etcd-dump-db",
        &["iterate-bucket", "--decode", "db", "key"],
    );
    assert_eq!(code, Some(1));
    assert!(out.starts_with("rev={Revision:{Main:400 "), "{out}");
    assert!(
        (100..400).contains(&out.lines().count()),
        "{}",
        out.lines().count()
    );
    assert!(
        err.contains(&format!("db: page id at offset {}: ", leaf * 4096)),
        "{err}"
    );
    // Every row but those of that page.
    let Run { code, out, .. } = run_in(scratch.path(), "etcd-dump-db", &["scan-keys", "db", "0"]);
    assert_eq!(code, Some(0));
    let revisions: BTreeSet<_> = out
        .lines()
        .map(|line| {
            line.split("{Main:")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
        })
        .collect();
    assert!((370..400).contains(&revisions.len()), "{}", revisions.len());
}

#[test]
fn files_that_are_no_database_are_told() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    sound(&path, 400);
    let whole = std::fs::read(&path).unwrap();
    let both_metas = {
        let mut bytes = whole.clone();
        bytes[30] ^= 1;
        bytes[4096 + 30] ^= 1;
        bytes
    };
    let row_of_another_revision = {
        let (from, to) = (row(7).1, row(8).1);
        let at = whole.windows(from.len()).position(|w| w == from).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(&to);
        bytes
    };
    for (bytes, cause) in [
        (Vec::new(), "file length at offset 0"),
        (b"SQLite format 3\0".repeat(600), "magic at offset 16"),
        (whole[..5000].to_vec(), "file length at offset "),
        (whole[..whole.len() / 2].to_vec(), "file length at offset "),
        (both_metas, "checksum at offset 72"),
        (
            row_of_another_revision,
            "its record is of revision 8, not 7",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let before = state_of(scratch.path());
        let Run { code, out, err } = db(&["check"], &path);
        assert_eq!(code, Some(1), "{cause}: {out}");
        assert!(
            err.contains(cause) && err.contains(&*path.to_string_lossy()),
            "{cause}: {err}"
        );
        assert_eq!(state_of(scratch.path()), before, "{cause}");
    }
}

#[test]
fn the_digest_of_a_saved_snapshot_is_checked() {
    members("snapsave-3.5.30", |_, dir| {
        let saved = dir.parent().unwrap().join("snapshot.db");
        let Run { code, out, .. } = db(&["check"], &saved);
        assert_eq!(code, Some(0));
        assert!(out.ends_with(", digest good\n"), "{out}");
        let mut bytes = std::fs::read(&saved).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let scratch = tempfile::tempdir().unwrap();
        let copy = scratch.path().join("copy");
        std::fs::write(&copy, bytes).unwrap();
        let Run { code, err, .. } = db(&["check"], &copy);
        assert_eq!(code, Some(1));
        assert!(err.contains("the SHA-256 at its end is not that"), "{err}");
    });
}

/// Ends the writer, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_database_is_read_while_another_process_locks_and_writes_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("db");
    let options = BtreeOptions::default();
    let engine = BtreeEngine::open(RealFs::shared(), &path, options).unwrap();
    engine.commit(&batch(1..=1000)).unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicI64::new(1000));
    let runs = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let stopped = StopOnDrop(&stop);
        let runs = &runs;
        let (stop, written, engine) = (&stop, &written, &engine);
        // Commits come every twenty milliseconds, a fifth of etcd's hundred. On a machine that is too
        // busy to read a small file in that time they come less often the longer one run takes.
        let writer = scope.spawn(move || {
            let (mut run, mut commits) = (0, 0_u32);
            while !stop.load(Ordering::Relaxed) {
                let now = runs.load(Ordering::Relaxed);
                commits = if now == run { commits + 1 } else { 0 };
                run = now;
                let pause = Duration::from_millis(20) * 2_u32.pow((commits / 8).min(8));
                let next = written.load(Ordering::Relaxed) + 1;
                let mut batch = batch(next..=next + 19);
                // Old rows go, so that their pages are used again.
                for old in next - 1000..next - 980 {
                    batch.delete(KEY, row(old).0.into());
                }
                engine.commit(&batch).unwrap();
                written.store(next + 19, Ordering::Relaxed);
                std::thread::park_timeout(pause);
            }
        });
        for args in [
            &["check"][..],
            &["info"],
            &["hash"],
            &["hash-kv"],
            &["pages"],
            &["tree"],
            &["list-bucket"],
            &["scan-keys"],
            &["iterate"],
        ]
        .repeat(2)
        {
            runs.fetch_add(1, Ordering::Relaxed);
            let before = written.load(Ordering::Relaxed);
            let dir = scratch.path();
            let Run { code, out, err } = match args[0] {
                "scan-keys" => run_in(dir, "etcd-dump-db", &["scan-keys", "db", "1"]),
                "iterate" => run_in(
                    dir,
                    "etcd-dump-db",
                    &["iterate-bucket", "--decode", "db", "key"],
                ),
                _ => run_in(
                    dir,
                    "etcd-dump-db",
                    &[args, &["--timeout", "60s", "db"]].concat(),
                ),
            };
            assert_eq!((code, &*err), (Some(0), ""), "{args:?}");
            if args[0] == "iterate" {
                let revision = |line: &str| {
                    let main = line.strip_prefix("rev={Revision:{Main:").unwrap();
                    main.split(' ').next().unwrap().parse::<i64>().unwrap()
                };
                let revisions: Vec<_> = out.lines().map(revision).collect();
                assert!(revisions[0] >= before, "the newest commit is seen");
                assert!(revisions.windows(2).all(|pair| pair[0] == pair[1] + 1));
            }
        }
        drop(stopped);
        writer.thread().unpark();
        writer.join().unwrap();
    });
    assert!(written.load(Ordering::Relaxed) > 1000, "the member went on");
    assert!(engine.check().is_sound());
}
