//! Whether a branch of a transaction writes one key twice.
//!
//! Forbidden are two puts of one key, and a put of a key that a delete covers, in whatever order.
//! Two deletes may overlap. The two branches of a nested transaction exclude each other, so one may
//! repeat the other, yet both count against everything around them.
//!
//! Two oddities of etcd's that clients can see are kept: a range end of one zero byte does not mean
//! "to the end" here, and a put within one nested transaction is not held against a delete within a
//! *later* one.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;
use varve_proto::etcdserverpb::RequestOp;
use varve_proto::etcdserverpb::request_op::Request;

use crate::rpc::RpcError;

/// What a list of operations writes.
#[derive(Default)]
struct Writes {
    puts: HashSet<Bytes>,
    deletes: Intervals,
}

pub(super) fn check(ops: &[RequestOp]) -> Result<(), RpcError> {
    writes(ops).map(drop)
}

fn writes(ops: &[RequestOp]) -> Result<Writes, RpcError> {
    let mut all = Writes::default();
    // Deletes of this level before any put, so that their order does not matter.
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            if delete.range_end.is_empty() {
                all.deletes
                    .insert(delete.key.clone(), successor(&delete.key));
            } else {
                all.deletes
                    .insert(delete.key.clone(), delete.range_end.clone());
            }
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(txn)) = &op.request {
            let success = writes(&txn.success)?;
            let failure = writes(&txn.failure)?;
            for key in &success.puts {
                all.put(key.clone())?;
            }
            for key in failure.puts {
                if success.puts.contains(&key) {
                    // The first branch has it on record, and passed the deletes.
                    continue;
                }
                all.put(key)?;
            }
            all.deletes.extend(success.deletes);
            all.deletes.extend(failure.deletes);
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            all.put(put.key.clone())?;
        }
    }
    Ok(all)
}

impl Writes {
    fn put(&mut self, key: Bytes) -> Result<(), RpcError> {
        if self.deletes.contains(&key) || !self.puts.insert(key) {
            return Err(RpcError::DuplicateKey);
        }
        Ok(())
    }
}

/// The first key after `key`.
fn successor(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

/// A set of keys as half-open intervals that neither overlap nor touch, by their beginnings.
#[derive(Default)]
struct Intervals {
    ends: BTreeMap<Bytes, Bytes>,
}

impl Intervals {
    fn insert(&mut self, begin: Bytes, end: Bytes) {
        if begin >= end {
            return;
        }
        let (mut begin, mut end) = (begin, end);
        // At most one begins before and reaches here.
        if let Some((before, its_end)) = self.ends.range::<Bytes, _>(..=&begin).next_back()
            && *its_end >= begin
        {
            begin = before.clone();
            end = end.max(its_end.clone());
        }
        // Those that begin within are swallowed.
        while let Some((within, its_end)) = self
            .ends
            .range::<Bytes, _>((Bound::Excluded(&begin), Bound::Included(&end)))
            .next()
        {
            let within = within.clone();
            end = end.max(its_end.clone());
            self.ends.remove(&within);
        }
        self.ends.insert(begin, end);
    }

    fn extend(&mut self, other: Self) {
        for (begin, end) in other.ends {
            self.insert(begin, end);
        }
    }

    fn contains(&self, key: &Bytes) -> bool {
        self.ends
            .range::<Bytes, _>(..=key)
            .next_back()
            .is_some_and(|(_, end)| end > key)
    }
}

#[cfg(test)]
mod tests;
