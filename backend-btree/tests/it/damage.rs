//! Files that are not what they should be: an error or right answers, never a panic, an endless loop or
//! a write.
use std::path::Path;

use bytes::Bytes;
use varve_backend::{Batch, Engine, ErrorKind};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{DynFs, OpenOptions, SimFs};

use crate::common::{KEY, LEASE, META, content, open, revisions, small_pages};

const DB: &str = "/db";

/// A file with every structure: two levels, an inline bucket, an overflow value, free pages.
fn sample() -> Vec<u8> {
    let fs = SimFs::new().shared();
    let db = open(&fs, DB.as_ref(), small_pages());
    let mut batch = revisions(0, 60, 20);
    batch.put(
        META,
        Bytes::from_static(b"consistent_index"),
        Bytes::from_static(b"12345678"),
    );
    batch.put(
        LEASE,
        Bytes::from_static(b"big"),
        Bytes::from(vec![9; 1500]),
    );
    db.commit(&batch).unwrap();
    db.commit(&revisions(30, 40, 30)).unwrap();
    let len = db.sizes().total_bytes;
    drop(db);
    let mut bytes = fs.read(DB.as_ref()).unwrap();
    bytes.truncate(usize::try_from(len).unwrap());
    bytes
}

fn write(bytes: &[u8]) -> DynFs {
    let fs = SimFs::new().shared();
    let file = fs.open(DB.as_ref(), OpenOptions::create()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    fs
}

/// Opens, checks, reads everything, commits; whatever fails must fail with an error.
fn exercise(bytes: &[u8]) -> Result<(), varve_backend::Error> {
    let fs = write(bytes);
    let db = match BtreeEngine::open(fs.clone(), DB, small_pages()) {
        Ok(db) => db,
        Err(error) => {
            assert_eq!(
                fs.read(DB.as_ref()).unwrap(),
                bytes,
                "a refused file was written to"
            );
            return Err(error);
        }
    };
    let sound = db.check().is_sound();
    let read = content(&db.btree_snapshot());
    let wrote = db.commit(&revisions(35, 45, 10));
    if sound {
        read.as_ref().unwrap();
        wrote.as_ref().unwrap();
    }
    read.map(drop).and(wrote)
}

#[test]
fn every_flipped_byte_is_an_error_or_harmless() {
    let good = sample();
    exercise(&good).unwrap();
    let mut refused = 0;
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            refused += usize::from(exercise(&bad).is_err());
        }
    }
    // Most bytes are values; but structure there is, and damage to it must have been found.
    assert!(
        refused > good.len() / 20,
        "only {refused} of {} were noticed",
        3 * good.len()
    );
}

#[test]
fn every_truncation_is_an_error() {
    let good = sample();
    for len in 0..good.len() {
        let outcome = exercise(&good[..len]);
        // The first bytes of any file are those of a new one: its creation is finished.
        assert!(
            len < 64 || outcome.is_err(),
            "{len} bytes of {}",
            good.len()
        );
    }
}

#[test]
fn words_overwritten_with_extremes_never_panic() {
    let good = sample();
    for at in (0..good.len() - 8).step_by(4) {
        for word in [0u64, u64::MAX, 2, 0x0000_ffff_ffff_0001] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&word.to_le_bytes());
            // Reaching the end of this call is the property.
            exercise(&bad).map_or_else(|e| assert!(!e.to_string().is_empty()), |()| ());
        }
    }
}

#[test]
fn one_damaged_meta_is_survived_and_two_are_named() {
    let good = sample();
    for slot in 0..2 {
        let mut bad = good.clone();
        bad[512 * slot + 16 + 60] ^= 0xff;
        let fs = write(&bad);
        let db = open(&fs, DB.as_ref(), small_pages());
        let snapshot = db.btree_snapshot();
        // The commits were number 2 and 3: the other slot holds the other one.
        assert_eq!(snapshot.txid(), if slot == 0 { 3 } else { 2 });
    }
    let mut both = good;
    both[16 + 60] ^= 1;
    both[512 + 16 + 60] ^= 1;
    let error = exercise(&both).unwrap_err();
    assert!(
        error.is_corruption() && error.to_string().contains("checksum"),
        "{error}"
    );
}

#[test]
fn foreign_files_are_refused_untouched() {
    for bytes in [
        &b"hello, this is not a database"[..],
        &[0xff; 5000],
        &[1; 10_000],
    ] {
        let error = exercise(bytes).unwrap_err();
        assert!(error.is_corruption(), "{error}");
    }
}

#[test]
fn a_page_size_from_nowhere_is_refused() {
    use varve_backend::bbolt::Meta;
    let mut bad = sample();
    for slot in 0..2u64 {
        let at = 512 * usize::from(slot == 1);
        let meta = Meta::decode(&bad[at..]).unwrap();
        let wrong = Meta {
            page_size: 513,
            ..meta
        }
        .encode(slot);
        bad[at..at + wrong.len()].copy_from_slice(&wrong);
    }
    let error = exercise(&bad).unwrap_err();
    assert!(error.to_string().contains("page size"), "{error}");
}

#[test]
fn a_second_opener_is_told_that_the_file_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let fs = crate::common::real();
    let first = open(&fs, &path, small_pages());
    let error = BtreeEngine::open(fs.clone(), &path, small_pages()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked { .. }), "{error}");
    drop(first);
    open(&fs, &path, small_pages());
}

#[test]
fn a_read_only_engine_reads_and_refuses_to_write() {
    let fs = write(&sample());
    let options = BtreeOptions {
        read_only: true,
        ..small_pages()
    };
    let db = open(&fs, DB.as_ref(), options.clone());
    assert_eq!(content(&db.btree_snapshot()).unwrap().len(), 3);
    let mut batch = Batch::new();
    batch.create_bucket(KEY);
    let error = db.commit(&batch).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ReadOnly { .. }),
        "{error}"
    );
    drop(db);
    let missing = BtreeEngine::open(fs.clone(), "/none", options).unwrap_err();
    assert!(missing.is_io());
    assert!(!fs.exists(Path::new("/none")).unwrap());
}
