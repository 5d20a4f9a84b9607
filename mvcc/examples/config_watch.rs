//! A program that follows its configuration: one thread changes it, one is woken and applies it, and
//! catches up on what it missed.
//!
//! `cargo run -p varve-mvcc --example config_watch`

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;

use varve_backend::MemoryEngine;
use varve_mvcc::{RangeOptions, ReadView, Store, WatchItem, WatchOptions, WatchStream, prefix_end};
use varve_proto::mvccpb::event::EventType;
use varve_proto::mvccpb::{Event, KeyValue};
use varve_proto::prost::Message;
use varve_proto::prost::bytes::Bytes;

type Config = BTreeMap<Bytes, Bytes>;
type AnyError = Box<dyn std::error::Error + Send + Sync>;

const PREFIX: &[u8] = b"/config/";

/// The configuration as one consistent picture.
fn load(view: &ReadView) -> Result<Config, AnyError> {
    let found = view.range(&RangeOptions::prefix(PREFIX))?;
    let mut config = Config::new();
    for kv in found.kvs {
        let kv = KeyValue::decode(kv)?;
        config.insert(kv.key, kv.value);
    }
    Ok(config)
}

/// Applies what the stream tells until `done` appears in the configuration.
fn follow(
    stream: &WatchStream,
    woken: &mpsc::Receiver<()>,
    mut config: Config,
) -> Result<Config, AnyError> {
    while !config.contains_key(&b"/config/done"[..]) {
        woken.recv()?;
        for item in stream.drain(usize::MAX) {
            let WatchItem::Events { events, .. } = item else {
                return Err("the configuration was compacted away under its reader".into());
            };
            for event in events {
                let event = Event::decode(event)?;
                let deleted = event.r#type() == EventType::Delete;
                let kv = event.kv.unwrap_or_default();
                if deleted {
                    config.remove(&kv.key);
                } else {
                    config.insert(kv.key, kv.value);
                }
            }
        }
    }
    Ok(config)
}

fn change(store: &Store, key: &'static str, value: &'static str) -> Result<(), AnyError> {
    let mut txn = store.write();
    if value.is_empty() {
        txn.delete_range(&Bytes::from(key), &Bytes::new())?;
    } else {
        txn.put(key.into(), value.into(), 0)?;
    }
    txn.end();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), AnyError> {
    let store = Store::open_engine(Arc::new(MemoryEngine::new()))?;
    change(&store, "/config/level", "info")?;

    let view = store.read();
    let config = load(&view)?;
    println!("at revision {}: {config:?}", view.revision());
    // Some time passes between reading and watching; nothing of it is lost.
    change(&store, "/config/level", "debug")?;

    let (wake, woken) = mpsc::channel();
    let stream = store.watch_stream(Arc::new(move || {
        // Nobody listens any more once the follower has returned.
        wake.send(()).unwrap_or_default();
    }));
    stream.watch(WatchOptions {
        key: PREFIX.into(),
        end: prefix_end(PREFIX),
        start_revision: view.revision() + 1,
        ..WatchOptions::default()
    })?;
    let follower = thread::spawn(move || follow(&stream, &woken, config));
    change(&store, "/config/limit", "10")?;
    change(&store, "/config/level", "")?;
    change(&store, "/config/done", "yes")?;
    let config = follower.join().map_err(|_| "the follower panicked")??;
    println!("at revision {}: {config:?}", store.revision());
    assert_eq!(config, load(&store.read())?);
    store.close()?;
    Ok(())
}
