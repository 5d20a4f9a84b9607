//! Puts per second of processor time, alone and many per transaction.

use bytes::Bytes;

use crate::bed::{cpu_per_op, filled, in_memory, manual, pod, put, scattered};
use crate::table::Table;

const KEYS: u64 = 1_000_000;

fn per_second(nanos: f64) -> String {
    format!("{nanos:.0} ns each, {:.2} M/s", 1000.0 / nanos)
}

pub(crate) fn run(table: &mut Table) {
    for (order, of) in [("ascending", false), ("scattered", true)] {
        let store = in_memory(manual());
        let key = |n| if of { pod(scattered(n) % KEYS) } else { pod(n) };
        let keys: Vec<Bytes> = (0..KEYS).map(key).collect();
        let mut keys = keys.into_iter();
        let nanos = cpu_per_op(KEYS / 1000, |_| {
            let mut txn = store.write();
            for key in keys.by_ref().take(1000) {
                txn.put(key, Bytes::new(), 0).expect("no lease is named");
            }
            txn.end();
        });
        table.row(
            &format!("puts of {KEYS} names, {order}, 1,000 per transaction (index, record, batch)"),
            &per_second(nanos / 1000.0),
            "index inserts of the 1 M/s class",
        );
    }
    let (store, _dir, _) = filled(KEYS, 256);
    let value = Bytes::from_static(&[b'v'; 256]);
    let keys: Vec<Bytes> = (0..400_000).map(|n| pod(scattered(n) % KEYS)).collect();
    let mut keys = keys.into_iter();
    let nanos = cpu_per_op(400_000, |_| {
        put(&store, keys.next().expect("one per call"), value.clone());
    });
    table.row(
        &format!("one put of 256 B per transaction over {KEYS} names"),
        &per_second(nanos),
        "",
    );
}
