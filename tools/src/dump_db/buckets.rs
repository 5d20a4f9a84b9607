//! Names of buckets, and what is in one.
use anyhow::{Result, bail};
use serde_json::json;
use varve_backend::{Direction, KeyRange, Snapshot as _};

use super::args::Iterate;
use super::decode;
use super::file::DbFile;
use super::rows::Rows;
use super::summary::Summary;
use crate::console::Console;
use crate::dump_wal::bytes_value;

/// Prints the names of all buckets.
pub(super) fn list(file: &DbFile, json: bool, console: &mut Console<'_>) -> Result<bool> {
    if json {
        let summary = Summary::read(file)?;
        for bucket in &summary.buckets {
            writeln!(console.out, "{}", bucket.json())?;
        }
        return match summary.flaw {
            None => Ok(true),
            Some(flaw) => console.complain(&flaw).map(|()| false),
        };
    }
    for name in file.consistent(|reading| reading.snapshot.buckets())? {
        writeln!(console.out, "{}", String::from_utf8_lossy(&name))?;
    }
    Ok(true)
}

/// Prints the pairs of a bucket, last first. On damage, all that come before it.
pub(super) fn iterate(file: &DbFile, args: &Iterate, console: &mut Console<'_>) -> Result<bool> {
    let bucket = args.bucket.as_bytes();
    let names = file.consistent(|reading| reading.snapshot.buckets())?;
    if !names.iter().any(|name| name == bucket) {
        bail!("got nil bucket for {}", args.bucket);
    }
    let mut rows = Rows::new(file, bucket, KeyRange::all(), Direction::Backward);
    let mut left = match args.limit {
        0 => u64::MAX,
        limit => limit,
    };
    while let Some((key, value)) = rows.next()? {
        if args.json {
            let mut object = json!({"bucket": args.bucket, "key": bytes_value(&key)});
            match args
                .decode
                .then(|| decode::json(bucket, &key, &value))
                .flatten()
            {
                Some(decoded) => object = decoded,
                None => object["value"] = bytes_value(&value),
            }
            writeln!(console.out, "{object}")?;
        } else {
            let decoded = args.decode.then(|| decode::text(bucket, &key, &value));
            let line = decoded
                .flatten()
                .unwrap_or_else(|| decode::plain(&key, &value));
            writeln!(console.out, "{line}")?;
        }
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(true)
}
