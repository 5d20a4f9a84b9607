//! The same operations on a real etcd 3.5.1 and on the server under test: equal hashes at every revision.
//!
//! Compactions are made at revisions of puts only: a deletion exactly at a compacted revision is removed
//! by 3.5.1 and kept by later ones (docs/differences.md).

use std::collections::BTreeMap;

use bytes::Bytes;
use varve_proto::etcdserverpb::request_op::Request;
use varve_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseRevokeRequest, PutRequest,
    RequestOp, TxnRequest,
};

use crate::client::{Client, block_on, revision};
use crate::harness::{Member, Program, etcd_351, scratch, skipped};

const OPERATIONS: usize = 2_000;
/// Operations between two compactions, about.
const SPAN: usize = 160;
const KEYS: usize = 60;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

fn name(n: usize) -> Bytes {
    Bytes::from(format!("k/{:02}{}", n, "x".repeat(n % 4 * 5)))
}

fn put(numbers: &mut Numbers, key: usize, lease: i64) -> PutRequest {
    let len = [0, 1, 10, 300][numbers.below(4)];
    PutRequest {
        key: name(key),
        value: Bytes::from(vec![b"abcdefghijklmnopqrstuvwxyz"[numbers.below(26)]; len]),
        lease,
        ..PutRequest::default()
    }
}

fn delete(from: usize, to: usize) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: name(from),
        range_end: if from == to { Bytes::new() } else { name(to) },
        ..DeleteRangeRequest::default()
    }
}

#[derive(Debug)]
enum Operation {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Grant(i64),
    Revoke(i64),
}

/// One operation, and whether it can only put.
fn operation(numbers: &mut Numbers, n: usize, leases: &mut Vec<i64>) -> (Operation, bool) {
    let key = numbers.below(KEYS);
    match numbers.below(20) {
        0 => {
            let id = i64::try_from(n + 1000).unwrap();
            leases.push(id);
            (Operation::Grant(id), false)
        }
        1 if leases.len() > 3 => {
            let id = leases.swap_remove(numbers.below(leases.len()));
            (Operation::Revoke(id), false)
        }
        2..5 => (Operation::Delete(delete(key, key)), false),
        5 => {
            let to = (key + numbers.below(5)).min(KEYS);
            (Operation::Delete(delete(key, to)), false)
        }
        6..9 => {
            // Keys of their own, as etcd demands of one transaction.
            let mut only_puts = true;
            let mut success = Vec::new();
            for part in 0..=numbers.below(4) {
                let key = (key + part * 7) % KEYS;
                let request = if numbers.below(3) == 0 {
                    only_puts = false;
                    Request::RequestDeleteRange(delete(key, key))
                } else {
                    Request::RequestPut(put(numbers, key, 0))
                };
                success.push(RequestOp {
                    request: Some(request),
                });
            }
            let txn = TxnRequest {
                success,
                ..TxnRequest::default()
            };
            (Operation::Txn(txn), only_puts)
        }
        9 | 10 if !leases.is_empty() => {
            let lease = leases[numbers.below(leases.len())];
            (Operation::Put(put(numbers, key, lease)), true)
        }
        _ => (Operation::Put(put(numbers, key, 0)), true),
    }
}

async fn apply(client: &mut Client, operation: &Operation) -> i64 {
    let header = match operation {
        Operation::Put(put) => {
            client
                .kv
                .put(put.clone())
                .await
                .unwrap()
                .into_inner()
                .header
        }
        Operation::Delete(delete) => {
            let response = client.kv.delete_range(delete.clone()).await;
            response.unwrap().into_inner().header
        }
        Operation::Txn(txn) => {
            client
                .kv
                .txn(txn.clone())
                .await
                .unwrap()
                .into_inner()
                .header
        }
        Operation::Grant(id) => {
            // Long enough to outlive the test.
            client.grant(10_000, *id).await;
            return 0;
        }
        Operation::Revoke(id) => {
            let response = client.lease.lease_revoke(LeaseRevokeRequest { id: *id });
            response.await.unwrap().into_inner().header
        }
    };
    revision(header)
}

/// Hash and compact revision.
async fn hash(client: &mut Client, revision: i64) -> (u32, i64) {
    let request = HashKvRequest { revision };
    let response = client.maintenance.hash_kv(request).await.unwrap();
    let response = response.into_inner();
    (response.hash, response.compact_revision)
}

async fn compact(client: &mut Client, revision: i64) {
    let request = CompactionRequest {
        revision,
        physical: true,
    };
    client.kv.compact(request).await.unwrap();
}

#[test]
fn every_hash_after_random_operations_is_that_of_etcd_3_5_1() {
    let etcd = match etcd_351("etcd") {
        Ok(path) => path,
        Err(reason) => return skipped("hashes beside etcd 3.5.1", &reason),
    };
    let dir = scratch();
    let ours = Member::new(&dir.path().join("ours"));
    let mut theirs = Member::new(&dir.path().join("theirs"));
    theirs.program = Program {
        path: etcd,
        flags: Vec::new(),
    };
    for member in [&ours, &theirs] {
        std::fs::create_dir_all(member.data_dir.parent().unwrap()).unwrap();
    }
    let (our_server, their_server) = (ours.start(), theirs.start());
    block_on(async {
        let mut ours = Client::connect(&our_server).await;
        let mut theirs = Client::connect(&their_server).await;
        let mut numbers = Numbers(0x5eed_0005);
        let mut leases = Vec::new();
        let (mut compacted, mut newest) = (1, 1);
        let mut last_put = 1;
        let mut next_compaction = SPAN;
        let mut compared = 0;
        // What etcd 3.5.1 said of a revision just before it was compacted there: what newer ones, and
        // we, remember of that compaction.
        let mut remembered = BTreeMap::new();
        for n in 0..OPERATIONS {
            let (operation, only_puts) = operation(&mut numbers, n, &mut leases);
            let both = [
                apply(&mut ours, &operation).await,
                apply(&mut theirs, &operation).await,
            ];
            assert_eq!(both[0], both[1], "{operation:?}");
            newest = newest.max(both[0]);
            if only_puts {
                last_put = newest;
            }
            let last = n + 1 == OPERATIONS;
            if n < next_compaction && !last {
                continue;
            }
            next_compaction = n + SPAN / 2 + numbers.below(SPAN);
            for at in compacted + 1..=newest {
                let (our, their) = (hash(&mut ours, at).await, hash(&mut theirs, at).await);
                assert_eq!(our, their, "HashKV({at}), compacted at {compacted}");
                compared += 1;
                if at == last_put {
                    remembered.insert(at, their.0);
                }
            }
            assert_eq!(hash(&mut ours, 0).await, hash(&mut theirs, 0).await);
            if last {
                break;
            }
            compact(&mut ours, last_put).await;
            compact(&mut theirs, last_put).await;
            compacted = last_put;
            for (at, hash_before) in remembered.iter().rev().take(10) {
                assert_eq!(hash(&mut ours, *at).await.0, *hash_before, "HashKV({at})");
            }
            for at in compacted + 1..=newest {
                let (our, their) = (hash(&mut ours, at).await, hash(&mut theirs, at).await);
                assert_eq!(our, their, "HashKV({at}), just compacted at {compacted}");
                compared += 1;
            }
        }
        assert!(compared > 1_500, "{compared} revisions were compared");
        assert!(remembered.len() > 8);
    });
    // Restarted, both compute anew what they had remembered.
    our_server.stop();
    their_server.stop();
    let (our_server, their_server) = (ours.start(), theirs.start());
    block_on(async {
        let mut ours = Client::connect(&our_server).await;
        let mut theirs = Client::connect(&their_server).await;
        let newest = revision(ours.all(0).await.header);
        let compacted = hash(&mut ours, 0).await.1;
        for at in compacted + 1..=newest {
            let both = (hash(&mut ours, at).await, hash(&mut theirs, at).await);
            assert_eq!(both.0, both.1, "HashKV({at}) after a restart");
        }
    });
}
