//! Any bytes as a database file: opening, reading, checking, dumping and writing to it end, without a
//! panic.
//!
//! The first byte says how the rest is taken: even, as the whole file; odd, as its pages from the third on
//! (the second byte names the root), behind two meta pages made for them, so that the fuzzer need not
//! guess checksums.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_backend::bbolt::{META_LEN, Meta, NO_FREELIST};
use varve_backend::{Batch, Bucket, Direction, Engine, KeyRange};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{DynFs, OpenOptions, SimFs};

const PAGE: usize = 512;

fn file(data: &[u8]) -> Vec<u8> {
    let [kind, root, rest @ ..] = data else {
        return data.to_vec();
    };
    if kind % 2 == 0 {
        return data[1..].to_vec();
    }
    let pages = rest.len().div_ceil(PAGE);
    let mut bytes = vec![0; 2 * PAGE];
    for txid in [4, 5] {
        let meta = Meta {
            page_size: 512,
            root: u64::from(*root),
            sequence: 0,
            // A freelist page, if there is a page of that number.
            freelist: if kind & 2 == 0 {
                NO_FREELIST
            } else {
                u64::from(kind >> 2)
            },
            high_water: 2 + pages as u64,
            txid,
        };
        let at = PAGE * (txid as usize % 2);
        bytes[at..at + META_LEN].copy_from_slice(&meta.encode(meta.slot()));
    }
    bytes.extend_from_slice(rest);
    bytes.resize((2 + pages) * PAGE, 0);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let fs: DynFs = SimFs::new().shared();
    let path = Path::new("/db");
    let db = fs
        .open(path, OpenOptions::create_new())
        .expect("a fresh disk");
    db.write_all_at(&file(data), 0).expect("a fresh disk");
    drop(db);
    let options = BtreeOptions {
        initial_map_bytes: 0,
        ..BtreeOptions::default()
    };
    let Ok(engine) = BtreeEngine::open(fs, path, options) else {
        return;
    };
    let sound = engine.check().is_sound();
    let snapshot = engine.btree_snapshot();
    drop(snapshot.pages());
    drop(snapshot.tree(&mut |_| true));
    for id in 0..10 {
        drop(snapshot.page(id));
    }
    let Ok(view) = engine.snapshot() else { return };
    for name in view.buckets().unwrap_or_default() {
        for direction in [Direction::Forward, Direction::Backward] {
            if let Ok(mut scan) = view.scan_bucket_name(&name, &KeyRange::all(), direction) {
                while let Ok(Some(_)) = scan.next() {}
            }
        }
    }
    // Writing to a file that is not sound may be refused, and must not make a sound one unsound.
    const KEY: Bucket = Bucket::new("key");
    let mut batch = Batch::new();
    batch.put(KEY, vec![0x10, 0x20].into(), vec![7; 100].into());
    batch.delete(KEY, vec![1].into());
    batch.put(Bucket::new("b"), vec![3].into(), vec![7; 700].into());
    let written = engine.commit(&batch).is_ok() && engine.reclaim().is_ok();
    assert!(
        !sound || !written || engine.check().is_sound(),
        "a sound file became unsound"
    );
});
