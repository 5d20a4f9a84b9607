//! Database files of real etcds, and their tools on ours.
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use serde_json::Value;
use varve_backend::{Batch, Direction, Engine, KeyRange, Snapshot};
use varve_backend_btree::BtreeOptions;

use crate::common::{Content, KEY, LEASE, META, Numbers, content, open, real, revision, revisions};

/// The directory of golden archives, or `None` with a word about it.
fn golden() -> Option<PathBuf> {
    let Some(dir) = std::env::var_os("VARVE_GOLDEN") else {
        println!("skipped: VARVE_GOLDEN does not name the directory of golden archives");
        return None;
    };
    Some(PathBuf::from(dir))
}

/// Unpacks the database files of an archive; returns their paths with the names they had.
fn databases(archive: &Path, into: &Path) -> Vec<(String, PathBuf)> {
    let mut decoder = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(decoder).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name.ends_with("/snap/db") || name.ends_with("snapshot.db") {
            let path = into.join(format!("{}.db", found.len()));
            entry.unpack(&path).unwrap();
            found.push((name, path));
        }
    }
    found
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::from(digit(c));
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out
}

/// The hash of etcd's `Hash` RPC: all buckets, names and pairs, without what differs from member to
/// member.
fn hash(snapshot: &dyn Snapshot, without: &[&[u8]]) -> u32 {
    hash_of(&content(snapshot).unwrap(), without)
}

/// The same of content that was read before.
pub(crate) fn hash_of(content: &Content, without: &[&[u8]]) -> u32 {
    let mut sum = 0;
    for (name, pairs) in content {
        sum = crc32c::crc32c_append(sum, name);
        for (key, value) in pairs {
            if name != META.as_bytes() || !without.contains(&&key[..]) {
                sum = crc32c::crc32c_append(sum, key);
                sum = crc32c::crc32c_append(sum, value);
            }
        }
    }
    sum
}

fn excluded(archive: &str) -> &'static [&'static [u8]] {
    match archive {
        a if a.contains("-3.4.") => &[b"consistent_index"],
        a if a.contains("-3.5.") => &[b"consistent_index", b"term"],
        _ => &[b"consistent_index", b"term", b"storageVersion"],
    }
}

/// Every pair etcd listed must be found under its revision, with its key and value inside.
fn has_listed_pairs(snapshot: &dyn Snapshot, expected: &Value) -> usize {
    let listed = expected["get_all"]["kvs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut found = 0;
    for kv in &listed {
        let main = kv["mod_revision"].as_u64().unwrap();
        let range = KeyRange::range(revision(main).slice(..8), revision(main + 1).slice(..8));
        let mut scan = snapshot.scan(KEY, &range, Direction::Forward).unwrap();
        let value = kv["value"].as_str().map(base64);
        let key = base64(kv["key"].as_str().unwrap());
        let holds = |stored: &Bytes, part: &[u8]| {
            part.is_empty() || stored.windows(part.len()).any(|w| w == part)
        };
        while let Some((_, stored)) = scan.next().unwrap() {
            if holds(&stored, &key) && value.as_ref().is_none_or(|v| holds(&stored, v)) {
                found += 1;
                break;
            }
        }
    }
    assert_eq!(found, listed.len());
    found
}

#[test]
fn databases_of_real_etcds_hold_what_etcd_said() {
    let Some(dir) = golden() else { return };
    let (mut opened, mut hashed, mut pairs) = (0, 0, 0);
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for archive in names
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "zst"))
    {
        let name = archive
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace(".tar.zst", "");
        let temp = tempfile::tempdir().unwrap();
        let all = databases(archive, temp.path());
        assert!(!all.is_empty(), "{name}: no database inside");
        let expected = std::fs::read(dir.join("expected").join(format!("{name}.json"))).ok();
        let expected: Option<Value> = expected.map(|e| serde_json::from_slice(&e).unwrap());
        for (place, path) in &all {
            for mmap in [true, false] {
                let options = BtreeOptions {
                    mmap,
                    ..BtreeOptions::default()
                };
                let db = open(&real(), path, options);
                let report = db.check();
                assert!(report.is_sound(), "{place}: {:?}", report.errors);
                let snapshot = db.snapshot().unwrap();
                opened += 1;
                if let Some(expected) = &expected
                    && all.len() == 1
                    && !name.starts_with("kill9")
                    && !name.starts_with("snapxfer")
                    && !name.starts_with("walcut")
                {
                    pairs += has_listed_pairs(&*snapshot, expected);
                    if let Some(want) = expected["hash_rpc"]["hash"].as_u64() {
                        assert_eq!(u64::from(hash(&*snapshot, excluded(&name))), want, "{name}");
                        hashed += 1;
                    }
                }
                if place.ends_with("snapshot.db") {
                    let want = expected.as_ref().unwrap()["status"]["hash"]
                        .as_u64()
                        .unwrap();
                    assert_eq!(u64::from(hash(&*snapshot, &[])), want, "{place}");
                    hashed += 1;
                }
            }
            keeps_its_content_when_written(path, place);
        }
    }
    println!("{opened} opens, {hashed} hashes, {pairs} pairs");
    assert!(opened > 100 && hashed > 30 && pairs > 200);
}

/// Commits on a foreign file change what they say and nothing else.
fn keeps_its_content_when_written(path: &Path, place: &str) {
    let db = open(&real(), path, BtreeOptions::default());
    let mut before = content(&db.btree_snapshot()).unwrap();
    for round in 0..5u64 {
        let main = 1_000_000 + round;
        db.commit(&revisions(main, main + 1, 100)).unwrap();
    }
    assert!(db.check().is_sound(), "{place}");
    let mut after = content(&db.btree_snapshot()).unwrap();
    for round in 0..5u64 {
        let key = after
            .get_mut(KEY.as_bytes())
            .unwrap()
            .remove(&revision(1_000_000 + round));
        assert_eq!(key.unwrap().len(), 100);
    }
    before.entry(Bytes::from_static(b"key")).or_default();
    assert_eq!(before, after, "{place}");
}

/// `etcdutl`, if there is one.
pub(crate) fn etcdutl() -> Option<PathBuf> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    candidates.extend(std::env::var_os("VARVE_ETCD_DIR").map(|d| PathBuf::from(d).join("etcdutl")));
    if let Some(path) = std::env::var_os("PATH") {
        candidates.extend(std::env::split_paths(&path).map(|dir| dir.join("etcdutl")));
    }
    let found = candidates.into_iter().find(|c| c.is_file());
    if found.is_none() {
        println!("skipped: no etcdutl in VARVE_ETCD_DIR or on PATH");
    }
    found
}

pub(crate) fn status(tool: &Path, db: &Path) -> Value {
    let output = Command::new(tool)
        .args(["snapshot", "status", "-w", "json"])
        .arg(db)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn etcdutl_reads_our_files_and_exports() {
    let Some(tool) = etcdutl() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (options, name) in [
        (BtreeOptions::default(), "plain"),
        (
            BtreeOptions {
                freelist_sync: true,
                ..BtreeOptions::default()
            },
            "synced",
        ),
    ] {
        let path = dir.path().join(name);
        let db = open(&real(), &path, options);
        let mut lease = Batch::new();
        lease.put(
            META,
            "consistent_index".into(),
            vec![0, 0, 0, 0, 0, 0, 0, 9].into(),
        );
        lease.put(META, "big".into(), vec![7; 20_000].into());
        db.commit(&lease).unwrap();
        (0..20).for_each(|n| db.commit(&revisions(n * 500, n * 500 + 500, 120)).unwrap());
        let mut thin = Batch::new();
        (0..9000)
            .filter(|n| n % 3 != 0)
            .for_each(|n| thin.delete(KEY, revision(n)));
        db.commit(&thin).unwrap();
        db.reclaim().unwrap();
        let want = hash(&db.btree_snapshot(), &[]);
        let total = db.sizes().total_bytes;

        // The export is one file more their tool must understand.
        let exported = dir.path().join(format!("{name}.export"));
        let mut export = db.export().unwrap();
        let mut image = vec![0; usize::try_from(export.len()).unwrap()];
        let mut at = 0;
        while at < image.len() {
            let end = image.len().min(at + 10_000);
            at += export.read(&mut image[at..end]).unwrap();
        }
        assert_eq!(export.read(&mut [0; 10]).unwrap(), 0);
        std::fs::write(&exported, &image).unwrap();
        drop(export);
        drop(db);

        for file in [&path, &exported] {
            let status = status(&tool, file);
            assert_eq!(
                status["hash"].as_u64().unwrap(),
                u64::from(want),
                "{}",
                file.display()
            );
            assert_eq!(status["totalKey"], 4002);
            assert_eq!(status["revision"], 9999);
            assert_eq!(status["totalSize"].as_u64().unwrap(), total);
        }
        let again = open(&real(), &exported, BtreeOptions::default());
        assert!(again.check().is_sound());
        assert_eq!(hash(&again.btree_snapshot(), &[]), want);
    }
}

/// The bbolt command, if somebody built one (`go install go.etcd.io/bbolt/cmd/bbolt@v1.3.12`).
pub(crate) fn bbolt_accepts(path: &Path) -> bool {
    let Some(tool) = std::env::var_os("VARVE_BBOLT") else {
        println!("skipped: VARVE_BBOLT does not name a bbolt command");
        return false;
    };
    let output = Command::new(tool).arg("check").arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("OK"),
        "{}: {said}",
        path.display()
    );
    true
}

/// After every few commits of a workload that splits, merges, moves and cuts, bbolt's own check agrees
/// with ours.
#[test]
fn bbolt_check_agrees_with_ours() {
    let dir = tempfile::tempdir().unwrap();
    for freelist_sync in [false, true] {
        let path = dir.path().join(format!("db-{freelist_sync}"));
        let options = BtreeOptions {
            freelist_sync,
            ..BtreeOptions::default()
        };
        let mut next = 0;
        let mut numbers = Numbers(7);
        for round in 0..40u64 {
            let db = open(&real(), &path, options.clone());
            let mut batch = revisions(next, next + 700, 150);
            next += 700;
            for _ in 0..500 + 300 * (round % 3) {
                batch.delete(KEY, revision(numbers.below(next)));
            }
            batch.put(
                META,
                "big".into(),
                vec![1; usize::try_from(round).unwrap() * 1000].into(),
            );
            batch.put(LEASE, format!("{round}").into(), vec![3; 60].into());
            db.commit(&batch).unwrap();
            if round % 10 == 9 {
                let mut thin = Batch::new();
                (0..next)
                    .filter(|n| n % 7 != 0)
                    .for_each(|n| thin.delete(KEY, revision(n)));
                db.commit(&thin).unwrap();
            }
            if round % 4 == 3 {
                db.reclaim().unwrap();
            }
            assert!(db.check().is_sound());
            drop(db);
            if !bbolt_accepts(&path) {
                break;
            }
        }
    }
}
