//! A long random workload on a real file, judged by bbolt's and etcd's own tools.
//!
//! `cargo test` runs a short one; the long one, with VARVE_BBOLT and VARVE_ETCD_DIR set, is
//! `VARVE_SOAK_OPERATIONS=100000 cargo test --release -p varve-backend-btree --test it soak -- --nocapture`.
use std::path::Path;

use bytes::Bytes;
use varve_backend::bbolt::{BUCKET_FLAG, BucketHeader, META_LEN, Meta, NO_FREELIST, PageBuilder};
use varve_backend::{Batch, Bucket, Engine, MemoryEngine};
use varve_backend_btree::{BtreeOptions, Element};

use crate::common::{KEY, LEASE, META, Numbers, content, open, real, revision};
use crate::golden::{bbolt_accepts, etcdutl, hash_of, status};

const PAGE: usize = 4096;
const NESTED: Bucket = Bucket::new("nested");

/// A file that bbolt could have written: `nested` holds a pair, an inline bucket and one with a page.
fn write_nested(path: &Path) {
    let leaf = |elements: &[(u32, &[u8], &[u8])]| {
        let data = elements.iter().map(|(_, k, v)| k.len() + v.len()).sum();
        let mut builder = PageBuilder::leaf(u16::try_from(elements.len()).unwrap(), data);
        for (flags, key, value) in elements {
            builder.push_leaf(*flags, key, value);
        }
        builder
    };
    let bucket =
        |root, inline: &[u8]| [&BucketHeader { root, sequence: 3 }.encode()[..], inline].concat();
    let inline = leaf(&[(0, b"x", b"y")]).finish_inline();
    let root = leaf(&[(BUCKET_FLAG, b"nested", &bucket(3, &[]))]).finish(2, PAGE);
    let outer = leaf(&[
        (0, b"a", b"1"),
        (BUCKET_FLAG, b"inline", &bucket(0, &inline)),
        (BUCKET_FLAG, b"paged", &bucket(4, &[])),
    ])
    .finish(3, PAGE);
    let paged = leaf(&[(0, b"p", b"q")]).finish(4, PAGE);
    let mut bytes = vec![0; 2 * PAGE];
    for txid in [0, 1] {
        let meta = Meta {
            page_size: 4096,
            root: 2,
            sequence: 0,
            freelist: NO_FREELIST,
            high_water: 5,
            txid,
        };
        let at = PAGE * usize::from(txid == 1);
        bytes[at..at + META_LEN].copy_from_slice(&meta.encode(meta.slot()));
    }
    for page in [root, outer, paged] {
        bytes.extend_from_slice(&page);
    }
    std::fs::write(path, bytes).unwrap();
}

/// 0 bytes to 10 MiB, mostly small.
fn value(numbers: &mut Numbers) -> Bytes {
    let len = match numbers.below(3000) {
        0 => numbers.below(10 << 20),
        1..15 => numbers.below(64 << 10),
        15..150 => numbers.below(5000),
        _ => numbers.below(300),
    };
    Bytes::from(vec![
        0x20 + u8::try_from(numbers.below(64)).unwrap();
        usize::try_from(len).unwrap()
    ])
}

/// Up to 200 operations: puts of new and old keys, deletes, deletes of whole ranges, a bucket dropped.
fn random_batch(numbers: &mut Numbers, next: &mut u64) -> (Batch, u64) {
    let mut batch = Batch::new();
    let mut operations = 0;
    for _ in 0..=numbers.below(120) {
        operations += 1;
        let other = Bytes::from(format!("k{:05}", numbers.below(6000)));
        match numbers.below(1000) {
            0 => batch.delete_bucket(META),
            1 => batch.delete_bucket(LEASE),
            2..12 => {
                let from = numbers.below(*next);
                let to = (*next).min(from + numbers.below(1500));
                (from..to).for_each(|main| batch.delete(KEY, revision(main)));
            }
            12..500 => {
                batch.put(KEY, revision(*next), value(numbers));
                *next += 1;
            }
            500..650 => batch.delete(KEY, revision(numbers.below(*next))),
            650..800 => batch.put(LEASE, other, value(numbers)),
            800..850 => batch.delete(LEASE, other),
            850..970 => batch.put(META, other, value(numbers)),
            970..985 => batch.put(NESTED, other, value(numbers)),
            _ => batch.delete(META, other),
        }
    }
    (batch, operations)
}

fn soak(operations: u64, seed: u64, options: &BtreeOptions) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("db");
    write_nested(&path);
    let model = MemoryEngine::new();
    let mut seeded = Batch::new();
    seeded.put(NESTED, Bytes::from_static(b"a"), Bytes::from_static(b"1"));
    model.commit(&seeded).unwrap();
    let (etcdutl, mut numbers) = (etcdutl(), Numbers(seed));
    let (mut next, mut done, mut commits, mut judged) = (1, 0, 0u64, 0u64);
    let mut db = open(&real(), &path, options.clone());
    while done < operations {
        let (batch, count) = random_batch(&mut numbers, &mut next);
        db.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        done += count;
        commits += 1;
        if commits % 10 != 0 {
            continue;
        }
        let report = db.check();
        assert!(report.is_sound(), "commit {commits}: {:?}", report.errors);
        let mut ours = content(&*db.snapshot().unwrap()).unwrap();
        let theirs = content(&*model.snapshot().unwrap()).unwrap();
        assert!(ours == theirs, "commit {commits}: not what the model holds");
        // To their hash a nested bucket is a key without a value.
        for nested in ["inline", "paged"] {
            let bucket = ours.get_mut(NESTED.as_bytes()).unwrap();
            bucket.insert(nested.into(), Bytes::new());
        }
        let want = hash_of(&ours, &[]);
        drop(ours);
        for (name, pair) in [("inline", (b"x", b"y")), ("paged", (b"p", b"q"))] {
            let mut found = Vec::new();
            let view = db.btree_snapshot();
            view.walk(&[b"nested", name.as_bytes()], &mut |e| {
                found.push(e);
                true
            })
            .unwrap();
            let expected = Element::Pair(pair.0[..].into(), pair.1[..].into());
            assert_eq!(found, [expected], "commit {commits}: bucket {name}");
        }
        // Their tools want the lock.
        drop(db);
        judged += u64::from(bbolt_accepts(&path));
        if let Some(tool) = etcdutl.as_ref().filter(|_| commits % 50 == 0) {
            let theirs = status(tool, &path);
            assert_eq!(theirs["hash"].as_u64(), Some(u64::from(want)));
        }
        db = open(&real(), &path, options.clone());
    }
    println!(
        "{done} operations in {commits} commits, {judged} files accepted by bbolt check, {} bytes",
        db.sizes().total_bytes
    );
}

#[test]
fn random_operations_leave_files_that_their_tools_accept() {
    let operations =
        std::env::var("VARVE_SOAK_OPERATIONS").map_or(1_500, |text| text.parse().unwrap());
    soak(operations, 0x5eed_0002, &BtreeOptions::default());
    let synced = BtreeOptions {
        freelist_sync: true,
        ..BtreeOptions::default()
    };
    soak(operations, 0x5eed_0003, &synced);
}
