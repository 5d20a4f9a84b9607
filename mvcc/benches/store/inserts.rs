//! Puts per second of processor time: the index alone, whole puts, alone and many per transaction.

use bytes::Bytes;
use varve_mvcc::{IndexAlone, Revision};

use crate::bed::{cpu_per_op, filled, manual, on_nothing, pod, put, scattered};
use crate::table::Table;

const KEYS: u64 = 1_000_000;

fn per_second(nanos: f64) -> String {
    format!("{nanos:.0} ns each, {:.2} M/s", 1000.0 / nanos)
}

/// All names, once each.
fn names(in_order: bool) -> Vec<Bytes> {
    let mut numbers: Vec<u64> = (0..KEYS).collect();
    if !in_order {
        numbers.sort_unstable_by_key(|n| scattered(*n));
    }
    numbers.into_iter().map(pod).collect()
}

/// Puts each name, a thousand per main revision; nanoseconds for each. With `beside_readers` there is a
/// snapshot of every thousandth state.
fn put_all(index: &mut IndexAlone, names: &[Bytes], main: i64, beside_readers: bool) -> f64 {
    let mut snapshot = None;
    let nanos = cpu_per_op(KEYS / 1000, |n| {
        if beside_readers {
            snapshot = Some(index.snapshot());
        }
        let main = main + i64::try_from(n).expect("small");
        let from = usize::try_from(n * 1000).expect("small");
        for (name, sub) in names[from..].iter().take(1000).zip(0..) {
            index.put(name, Revision::new(main, sub));
        }
    });
    drop(snapshot);
    nanos / 1000.0
}

pub(crate) fn index_alone(table: &mut Table) {
    for (order, in_order) in [("ascending", true), ("scattered", false)] {
        for (beside, readers) in [("", false), (", a snapshot per 1,000", true)] {
            let mut index = IndexAlone::new();
            let names = names(in_order);
            let first = put_all(&mut index, &names, 2, readers);
            let second = put_all(&mut index, &names, 1002, readers);
            let third = put_all(&mut index, &names, 2002, readers);
            table.row(
                &format!("index alone, {KEYS} names, {order}{beside}: new, second, third version"),
                &[first, second, third].map(per_second).join("; "),
                "1 M/s class",
            );
        }
    }
}

pub(crate) fn run(table: &mut Table) {
    for (order, in_order) in [("ascending", true), ("scattered", false)] {
        let store = on_nothing(manual());
        let nanos = [(), ()].map(|()| {
            let mut keys = names(in_order).into_iter();
            let nanos = cpu_per_op(KEYS / 1000, |_| {
                let mut txn = store.write();
                for key in keys.by_ref().take(1000) {
                    txn.put(key, Bytes::new(), 0).expect("no lease is named");
                }
                txn.end();
            });
            nanos / 1000.0
        });
        table.row(
            &format!("puts of {KEYS} names, {order}, 1,000 per transaction (index, record, batch): new, second version"),
            &nanos.map(per_second).join("; "),
            "",
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
