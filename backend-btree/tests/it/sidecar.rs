//! The free list beside a cleanly closed file: used when it is true, never otherwise.
use std::path::Path;
use std::sync::Arc;

use varve_backend::{Backend, BackendOptions, Batch, Engine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{CrashRule, DynFs, OpenOptions, SimFs};

use crate::common::{META, open, real, revisions};

const DB: &str = "/db";
const SIDE: &str = "/db.freelist";

fn with_sidecar() -> BtreeOptions {
    BtreeOptions {
        initial_map_bytes: 0,
        freelist_sidecar: true,
        ..BtreeOptions::default()
    }
}

fn without() -> BtreeOptions {
    BtreeOptions {
        freelist_sidecar: false,
        ..with_sidecar()
    }
}

fn exists(fs: &DynFs) -> bool {
    fs.exists(SIDE.as_ref()).unwrap()
}

fn put(fs: &DynFs, bytes: &[u8]) {
    let file = fs
        .open(SIDE.as_ref(), OpenOptions::create_truncate())
        .unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
}

/// Leaves many leaves and free pages, and some that wait for a reader; returns the free bytes.
fn fill(db: &BtreeEngine) -> u64 {
    let first = db.snapshot().unwrap();
    (0..10).for_each(|n| db.commit(&revisions(n * 500, n * 500 + 500, 300)).unwrap());
    db.commit(&revisions(1000, 1300, 10)).unwrap();
    let free = db.check().free_pages * db.page_size();
    assert!(free > 0);
    drop(first);
    free
}

fn closed(fs: &DynFs) -> u64 {
    let db = open(fs, DB.as_ref(), with_sidecar());
    let free = fill(&db);
    db.close().unwrap();
    assert!(exists(fs));
    free
}

fn free_bytes(db: &BtreeEngine) -> u64 {
    let sizes = db.sizes();
    sizes.total_bytes - sizes.in_use_bytes
}

/// A leaf in the middle is damaged: whoever walks the tree stumbles over it, whoever believes the
/// sidecar does not.
fn damage_a_leaf(fs: &DynFs, db: &Path) {
    let file = fs.open(db, OpenOptions::read_write()).unwrap();
    let mut page = 40;
    loop {
        let mut header = [0; 16];
        file.read_exact_at(&mut header, page * 4096).unwrap();
        if header[..8] == page.to_le_bytes() && header[8] == 2 {
            break;
        }
        page += 1;
    }
    file.write_all_at(&[0xff; 8], page * 4096).unwrap();
}

#[test]
fn a_sidecar_replaces_the_walk_until_the_first_commit() {
    let fs = SimFs::new().shared();
    let free = closed(&fs);
    damage_a_leaf(&fs, DB.as_ref());
    let bytes = fs.read(SIDE.as_ref()).unwrap();
    // Handles that commit nothing (a start that is refused, say) leave it as it is.
    for options in [with_sidecar(), with_sidecar(), with_sidecar()] {
        let db = open(&fs, DB.as_ref(), options);
        assert_eq!(free_bytes(&db), free);
        db.prepare_reopening();
        drop(db);
        assert_eq!(fs.read(SIDE.as_ref()).unwrap(), bytes);
    }
    let db = open(&fs, DB.as_ref(), with_sidecar());
    // What it said was true: new pages go where nothing is.
    let mut batch = Batch::new();
    batch.put(META, "k".into(), vec![1; 100_000].into());
    db.commit(&batch).unwrap();
    assert!(!exists(&fs), "the commit made it untrue");
    assert_eq!(
        db.check().errors.len(),
        1,
        "only the leaf this test damaged"
    );
    drop(db);
    assert!(exists(&fs), "closed again");
}

#[test]
fn without_a_sidecar_the_walk_finds_the_damage() {
    let fs = SimFs::new().shared();
    closed(&fs);
    damage_a_leaf(&fs, DB.as_ref());
    fs.remove_file(SIDE.as_ref()).unwrap();
    let error = BtreeEngine::open(fs, DB, with_sidecar()).unwrap_err();
    assert!(error.is_corruption());
}

#[test]
fn a_handle_that_commits_nothing_makes_none() {
    let fs = SimFs::new().shared();
    closed(&fs);
    fs.remove_file(SIDE.as_ref()).unwrap();
    let db = open(&fs, DB.as_ref(), with_sidecar());
    db.prepare_reopening();
    db.close().unwrap();
    drop(db);
    assert!(!exists(&fs));
}

#[test]
fn a_backend_that_closes_leaves_one_while_others_hold_the_engine() {
    let fs = SimFs::new().shared();
    let db = Arc::new(open(&fs, DB.as_ref(), with_sidecar()));
    let backend = Backend::open(Arc::clone(&db) as _, BackendOptions::default()).unwrap();
    let mut guard = backend.begin();
    guard.put(META, "k".into(), "v".into());
    guard.end();
    backend.close().unwrap();
    assert!(exists(&fs));
    // The engine goes on, and says so.
    db.commit(&revisions(0, 10, 10)).unwrap();
    assert!(!exists(&fs));
}

#[test]
fn a_sidecar_of_another_commit_is_ignored_and_removed() {
    let fs = SimFs::new().shared();
    closed(&fs);
    let old = fs.read(SIDE.as_ref()).unwrap();
    // Somebody who does not use sidecars commits; the old one comes back from a backup.
    let db = open(&fs, DB.as_ref(), without());
    assert!(exists(&fs));
    db.commit(&revisions(9000, 9400, 100)).unwrap();
    assert!(!exists(&fs), "removed even by those who do not use it");
    let truth = db.check().free_pages * db.page_size();
    drop(db);
    put(&fs, &old);
    let db = open(&fs, DB.as_ref(), with_sidecar());
    assert_eq!(free_bytes(&db), truth);
    db.commit(&revisions(0, 1, 1)).unwrap();
    assert!(!exists(&fs));
}

#[test]
fn a_sidecar_damaged_at_any_byte_or_cut_anywhere_is_ignored() {
    let fs = SimFs::new().shared();
    let free = closed(&fs);
    damage_a_leaf(&fs, DB.as_ref());
    let good = fs.read(SIDE.as_ref()).unwrap();
    // An open that believes what it reads succeeds; one that walks finds the damaged leaf.
    let believed = || match BtreeEngine::open(Arc::clone(&fs), DB, with_sidecar()) {
        Ok(db) => {
            assert_eq!(free_bytes(&db), free);
            true
        }
        Err(error) => {
            assert!(error.is_corruption(), "{error}");
            false
        }
    };
    assert!(believed());
    for at in 0..good.len() {
        for flip in [0x01, 0x40, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            put(&fs, &bad);
            assert!(!believed(), "byte {at} ^ {flip:#x}");
        }
        put(&fs, &good[..at]);
        assert!(!believed(), "{at} bytes");
    }
    put(&fs, &[&good[..], &[0; 8]].concat());
    assert!(!believed(), "longer");
    put(&fs, &good);
    assert!(believed());
}

/// The removal of the sidecar is not synced: after a crash it may be back, and is then of an old commit,
/// or of the newest if the commit did not come through.
#[test]
fn after_a_crash_at_any_operation_the_free_list_is_true() {
    let base = SimFs::new();
    closed(&base.shared());
    let work = |fs: &SimFs| {
        let shared = fs.shared();
        let Ok(db) = BtreeEngine::open(shared, DB, with_sidecar()) else {
            return;
        };
        for n in 0..3 {
            let mut batch = revisions(9000 + n, 9003 + n, 3000);
            batch.delete(META, "k".into());
            if db.commit(&batch).is_err() {
                break;
            }
        }
        drop(db);
    };
    let healthy = base.crash_image(CrashRule::KeepAll, 0);
    work(&healthy);
    let operations = healthy.op_count();
    assert!(operations > 12, "{operations} operations");
    for op in 0..operations {
        for rule in CrashRule::ALL {
            let fs = base.crash_image(CrashRule::KeepAll, 0);
            fs.fail_at(op, varve_vfs::Fault::Crash);
            work(&fs);
            let image = fs.crash_image(rule, op).shared();
            let db = open(&image, DB.as_ref(), with_sidecar());
            let what = format!("operation {op}, {rule:?}");
            let report = db.check();
            assert!(report.is_sound(), "{what}: {:?}", report.errors);
            assert_eq!(
                free_bytes(&db),
                report.free_pages * db.page_size(),
                "{what}"
            );
            // Were a page in the list in use, these would overwrite it.
            (0..3).for_each(|n| db.commit(&revisions(20_000 + n, 20_010 + n, 900)).unwrap());
            assert!(db.check().is_sound(), "{what}: {:?}", db.check().errors);
        }
    }
}

/// On a real file system a file that was written to, or put in the place of another, is another file,
/// whatever its meta says.
#[test]
fn a_real_file_that_anybody_wrote_to_is_walked() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (path, side) = (dir.path().join("db"), dir.path().join("db.freelist"));
    let db = open(&real(), &path, with_sidecar());
    let free = fill(&db);
    drop(db);
    let db = open(&real(), &path, with_sidecar());
    assert_eq!(free_bytes(&db), free);
    drop(db);
    // A copy under the same name has another inode number.
    std::fs::copy(&path, dir.path().join("copy")).unwrap();
    damage_a_leaf(&real(), &dir.path().join("copy"));
    std::fs::rename(dir.path().join("copy"), &path).unwrap();
    assert!(side.exists());
    let error = BtreeEngine::open(real(), &path, with_sidecar()).unwrap_err();
    assert!(error.is_corruption());
}

#[test]
fn a_real_file_written_to_in_place_is_walked() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("db");
    let db = open(&real(), &path, with_sidecar());
    fill(&db);
    drop(db);
    // Timestamps of the kernel are as fine as its tick.
    std::thread::sleep(std::time::Duration::from_millis(20));
    damage_a_leaf(&real(), &path);
    assert!(dir.path().join("db.freelist").exists());
    let error = BtreeEngine::open(real(), &path, with_sidecar()).unwrap_err();
    assert!(error.is_corruption());
}

/// A received database takes the name while the old file is still open: what closes then is not it.
#[test]
fn a_file_that_lost_its_name_leaves_no_sidecar() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (path, side) = (dir.path().join("db"), dir.path().join("db.freelist"));
    let old = open(&real(), &path, with_sidecar());
    fill(&old);
    let received = open(&real(), &dir.path().join("received"), with_sidecar());
    fill(&received);
    drop(received);
    std::fs::rename(dir.path().join("received"), &path).unwrap();
    old.close().unwrap();
    drop(old);
    assert!(!side.exists());
}
