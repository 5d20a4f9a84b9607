//! A store in a dozen lines: open on a path, put, read at a revision, watch, compact.
//!
//! `cargo run -p varve-mvcc --example embed [DIRECTORY]`

use std::sync::Arc;

use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{RangeOptions, Store, WatchItem, WatchOptions};
use varve_proto::mvccpb::{Event, KeyValue};
use varve_proto::prost::Message;
use varve_vfs::RealFs;

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let path = std::path::Path::new(&dir).join("embed.db");
    let engine = BtreeEngine::open(Arc::new(RealFs), &path, BtreeOptions::default())?;
    let store = Store::open_engine(Arc::new(engine))?;

    let stream = store.watch_stream(Arc::new(|| {}));
    stream.watch(WatchOptions {
        key: "color".into(),
        ..WatchOptions::default()
    })?;

    let mut txn = store.write();
    txn.put("color".into(), "green".into(), 0)?;
    let green = txn.end();
    let mut txn = store.write();
    txn.put("color".into(), "blue".into(), 0)?;
    let blue = txn.end_durable()?;

    for revision in [green, blue] {
        let found = store
            .read()
            .range(&RangeOptions::key("color").at(revision))?;
        for kv in found.kvs {
            let kv = KeyValue::decode(kv)?;
            println!(
                "at {revision}: {:?} = {:?}, version {}",
                kv.key, kv.value, kv.version
            );
        }
    }
    for item in stream.drain(usize::MAX) {
        if let WatchItem::Events { events, .. } = item {
            for event in events {
                println!("told: {:?}", Event::decode(event)?.kv);
            }
        }
    }

    let mut txn = store.write();
    txn.compact(blue)?;
    txn.end();
    let refused = store.read().range(&RangeOptions::key("color").at(green));
    println!(
        "after compacting, at {green}: {:?}",
        refused.map_err(|e| e.to_string())
    );
    store.close()?;
    Ok(())
}
