//! Opens a database file, writes every pair again, gives space back, checks: a session with every part
//! of the engine.
//!
//! `cargo run -p varve-backend-btree --example rewrite -- FILE` (without FILE: a file of its own that is
//! removed again).
#![expect(clippy::print_stdout, reason = "a program that tells what it does")]
use std::path::PathBuf;
use std::sync::Arc;

use varve_backend::{Batch, Bucket, Direction, Engine, KeyRange, Result};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::RealFs;

/// The buckets of an etcd.
const BUCKETS: [Bucket; 11] = [
    Bucket::new("alarm"),
    Bucket::new("auth"),
    Bucket::new("authRoles"),
    Bucket::new("authUsers"),
    Bucket::new("cluster"),
    Bucket::new("key"),
    Bucket::new("lease"),
    Bucket::new("members"),
    Bucket::new("members_removed"),
    Bucket::new("meta"),
    Bucket::new("example"),
];

fn main() -> Result<()> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let path = given
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join("varve-rewrite.db"));
    let db = BtreeEngine::open(Arc::new(RealFs), &path, BtreeOptions::default())?;
    if given.is_none() {
        let mut first = Batch::new();
        for n in 0..10_000u32 {
            first.put(
                BUCKETS[10],
                n.to_be_bytes().to_vec().into(),
                vec![7; 200].into(),
            );
        }
        db.commit(&first)?;
    }
    println!("{:?}, commit {}", db.sizes(), db.btree_snapshot().txid());
    for bucket in BUCKETS {
        let snapshot = db.snapshot()?;
        let mut scan = snapshot.scan(bucket, &KeyRange::all(), Direction::Forward)?;
        let mut batch = Batch::new();
        while let Some((key, value)) = scan.next()? {
            batch.put(bucket, key, value);
        }
        drop(scan);
        db.commit(&batch)?;
        println!("{bucket}: {} pairs", batch.len());
    }
    let done = db.reclaim()?;
    println!(
        "reclaimed: {} bytes of {} left",
        done.bytes_after, done.bytes_before
    );
    let report = db.check();
    println!(
        "{} keys, {} pages, {} faults",
        report.keys,
        report.used_pages,
        report.errors.len()
    );
    drop(db);
    if given.is_none() {
        std::fs::remove_file(&path).map_err(|e| varve_backend::Error::io("remove", &path, e))?;
    }
    Ok(())
}
