//! The decoders of the dump tools on bytes that no file holds: what the fuzz target `dump_tools` calls.
use crate::{dump_db, dump_snap, dump_wal};

/// Shows `data` as what `kind` says: a record of a log, an entry, a snapshot file, a v2 store, a pair of a
/// database. Panics only when a decoder does, or gives what is no line or no JSON.
pub fn show(kind: u8, data: &[u8]) {
    let which = usize::from(kind / 8);
    match kind % 8 {
        0 => dump_wal::fuzzing::record(which, data),
        1..=3 => dump_wal::fuzzing::entry(i32::from(kind / 8 % 4), data),
        4 => dump_snap::fuzzing::file(data),
        5 => dump_snap::fuzzing::store(data),
        _ => {
            let Some((len, rest)) = data.split_first() else {
                return;
            };
            let (key, value) = rest.split_at(usize::from(*len).min(rest.len()));
            dump_db::fuzzing::pair(which, key, value);
        }
    }
}
