//! Databases of real etcds, 3.4 to 3.8: what they answered after a restart, this store answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use varve_backend::Engine;
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{RangeOptions, Store};
use varve_vfs::RealFs;

use crate::support::{all, decode, finish_compaction, get, manual_options, open_on, put};

/// The directory of golden archives, or `None` with a word about it.
fn golden() -> Option<PathBuf> {
    let Some(dir) = std::env::var_os("VARVE_GOLDEN") else {
        println!("skipped: VARVE_GOLDEN does not name the directory of golden archives");
        return None;
    };
    Some(PathBuf::from(dir))
}

/// Unpacks the databases of an archive whose path there ends with `suffix`.
fn databases(archive: &Path, suffix: &str, into: &Path) -> Vec<(String, PathBuf)> {
    let mut decoder = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(decoder).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name.ends_with(suffix) {
            let path = into.join(format!("{}.db", found.len()));
            entry.unpack(&path).unwrap();
            found.push((name, path));
        }
    }
    found
}

fn open(path: &Path) -> (Store, Arc<dyn Engine>) {
    let fs = Arc::new(RealFs);
    let engine = BtreeEngine::open(fs, path, BtreeOptions::default()).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(engine);
    (open_on(Arc::clone(&engine), manual_options()), engine)
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

fn number(value: &Value) -> i64 {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or(0)
}

/// A value as the sample shows it; the walcut samples describe theirs instead.
fn is_value(shown: &Value, value: &Bytes) -> bool {
    let Some(text) = shown.as_str() else {
        return value.is_empty() || shown.is_object();
    };
    if text.contains(' ') || text.contains('<') {
        return value.iter().all(|byte| *byte == b'Z');
    }
    base64(text) == value[..]
}

/// `[key, value, create, mod, version, lease]` of every key at every revision.
fn check_revisions(name: &str, store: &Store, revisions: &Value, refuses_equal: bool) {
    let Some(revisions) = revisions.as_object() else {
        return;
    };
    for (at, rows) in revisions {
        let at: i64 = at.parse().unwrap();
        let found = store.read().range(&all().at(at));
        let Some(rows) = rows.as_array() else {
            let refused = found.is_err() || (refuses_equal && at == store.compact_revision());
            assert!(refused, "{name} at {at}: etcd refuses");
            continue;
        };
        let kvs = decode(&found.unwrap().kvs);
        assert_eq!(kvs.len(), rows.len(), "{name} at {at}");
        for (kv, row) in kvs.iter().zip(rows) {
            assert_eq!(kv.key, base64(row[0].as_str().unwrap()), "{name} at {at}");
            assert!(is_value(&row[1], &kv.value), "{name} at {at}: {:?}", kv.key);
            let numbers = [kv.create_revision, kv.mod_revision, kv.version, kv.lease];
            let expected = [2, 3, 4, 5].map(|i| number(&row[i]));
            assert_eq!(numbers, expected, "{name} at {at}");
        }
    }
}

fn check_hashes(name: &str, store: &Store, hashes: &Value) -> usize {
    let mut checked = 0;
    for (revision, expected) in hashes.as_object().unwrap() {
        let revision: i64 = revision.parse().unwrap();
        // Servers up to 3.5.9 also refuse the compaction revision itself.
        if let Some(hash) = expected.get("hash") {
            let found = store.hash_kv(revision).unwrap();
            assert_eq!(
                i64::from(found.hash),
                number(hash),
                "{name} HashKV({revision})"
            );
            assert_eq!(
                found.compact_revision,
                number(&expected["compact_revision"])
            );
            checked += 1;
        }
    }
    checked
}

fn check_leases(name: &str, store: &Store, leases: &Value) -> usize {
    let leases = leases.as_object().unwrap();
    assert_eq!(store.lessor().leases().len(), leases.len(), "{name}");
    for (id, expected) in leases {
        let info = store.lessor().time_to_live(id.parse().unwrap()).unwrap();
        assert_eq!(info.granted_ttl, number(&expected["granted-ttl"]), "{name}");
        let keys = expected["keys"].as_array().cloned().unwrap_or_default();
        let keys: Vec<_> = keys.iter().map(|k| base64(k.as_str().unwrap())).collect();
        assert_eq!(info.keys, keys, "{name}");
    }
    leases.len()
}

#[test]
fn every_database_of_a_real_etcd_answers_as_it_did_there() {
    let Some(dir) = golden() else { return };
    let (mut databases_seen, mut hashes, mut leases, mut plain) = (0, 0, 0, 0);
    for sample in std::fs::read_dir(dir.join("expected")).unwrap() {
        let sample = sample.unwrap().path();
        let name = sample.file_stem().unwrap().to_str().unwrap().to_owned();
        if sample.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let json = std::fs::read_to_string(&sample).unwrap();
        let expected: Value = serde_json::from_str(&json).unwrap();
        // The databases of the killed servers are behind their logs.
        if expected.get("after_restart").is_none() || name.starts_with("kill9") {
            continue;
        }
        let scratch = tempfile::tempdir().unwrap();
        let archive = dir.join(format!("{name}.tar.zst"));
        let found = databases(&archive, "/member/snap/db", scratch.path());
        let [(_, path)] = &found[..] else {
            panic!("{name}: one database, found {found:?}");
        };
        let (store, _engine) = open(path);
        let after = &expected["after_restart"];
        let revision = number(&after["get_all"]["header"]["revision"]);
        assert_eq!(store.revision(), revision, "{name}");
        let old = name.ends_with("3.4.23") || name.ends_with("3.5.1");
        check_revisions(&name, &store, &after["get_all_at_rev"], old);
        hashes += check_hashes(&name, &store, &after["hashkv"]);
        leases += check_leases(&name, &store, &after["leases"]);
        if let Some(hash) = expected.get("hash_rpc") {
            assert_eq!(
                i64::from(store.hash().unwrap()),
                number(&hash["hash"]),
                "{name} Hash"
            );
            plain += 1;
        }
        databases_seen += 1;
        store.close().unwrap();
    }
    println!("{databases_seen} databases, {hashes} HashKV, {plain} Hash, {leases} leases");
    assert!(databases_seen >= 38 && hashes >= 630 && plain >= 33 && leases >= 14);
}

#[test]
fn a_checkpointed_lease_has_the_time_that_was_left() {
    let Some(dir) = golden() else { return };
    for version in ["3.5.30", "3.6.14"] {
        let scratch = tempfile::tempdir().unwrap();
        let archive = dir.join(format!("leasecp-{version}.tar.zst"));
        let found = databases(&archive, "/member/snap/db", scratch.path());
        let (store, _engine) = open(&found[0].1);
        let leases = store.lessor().leases();
        let info = store.lessor().time_to_live(leases[0]).unwrap();
        assert_eq!((info.granted_ttl, info.remaining_ttl), (1000, 700));
        store.close().unwrap();
    }
}

#[test]
fn a_snapshot_restored_with_a_bumped_revision_is_compacted_there_and_goes_on() {
    let Some(dir) = golden() else { return };
    for version in ["3.5.30", "3.6.14", "3.8.0-alpha.0"] {
        let scratch = tempfile::tempdir().unwrap();
        let archive = dir.join(format!("snapsave-{version}.tar.zst"));
        let bumped = databases(&archive, "restored-bump/member/snap/db", scratch.path());
        let (store, engine) = open(&bumped[0].1);
        assert_eq!((store.revision(), store.compact_revision()), (1021, 1021));
        assert_eq!(store.read().range(&all()).unwrap().kvs.len(), 9);
        assert!(!store.compaction_done(1021));
        finish_compaction(&store);
        assert!(store.compaction_done(1021));
        assert_eq!(put(&store, "after", "x"), 1022);
        store.close().unwrap();
        drop((store, engine));
        let (store, _engine) = open(&bumped[0].1);
        assert_eq!((store.revision(), store.compact_revision()), (1022, 1021));
        assert_eq!(store.read().range(&all()).unwrap().kvs.len(), 10);
        assert_eq!(
            get(&store.read(), &RangeOptions::key("after"))[0].version,
            1
        );
        store.close().unwrap();
    }
}

#[test]
fn a_restored_snapshot_answers_as_its_source_did() {
    let Some(dir) = golden() else { return };
    let mut hashes = 0;
    for version in ["3.4.23", "3.5.1", "3.5.30", "3.6.14", "3.8.0-alpha.0"] {
        let name = format!("snapsave-{version}");
        let json = std::fs::read_to_string(dir.join(format!("expected/{name}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&json).unwrap();
        let after = &expected["after_restart_on_restored"];
        let scratch = tempfile::tempdir().unwrap();
        let archive = dir.join(format!("{name}.tar.zst"));
        let restored = databases(&archive, "restored/member/snap/db", scratch.path());
        let (store, _engine) = open(&restored[0].1);
        assert_eq!((store.revision(), store.compact_revision()), (21, 6));
        let old = version == "3.4.23" || version == "3.5.1";
        check_revisions(&name, &store, &after["get_all_at_rev"], old);
        hashes += check_hashes(&name, &store, &after["hashkv"]);
        assert_eq!(check_leases(&name, &store, &after["leases"]), 2);
        store.close().unwrap();
    }
    assert!(hashes > 70, "{hashes} hashes");
}
