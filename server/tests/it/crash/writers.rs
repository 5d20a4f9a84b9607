//! The writers of the crash test: what each does, and its note of what was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Status;
use varve_proto::etcdserverpb::response_op::Response;
use varve_proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, PutRequest};

use super::Random;
use crate::client::{Client, delete, everything, op_delete, op_put, op_range, put, revision, txn};

/// A change of one key: its new value and lease, or its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) value: Option<(String, i64)>,
}

impl Change {
    fn put(key: &str, value: &str, lease: i64) -> Self {
        Self {
            key: key.to_owned(),
            value: Some((value.to_owned(), lease)),
        }
    }

    fn delete(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            value: None,
        }
    }
}

/// A write that was answered: its revision and all changes of that revision, in order.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub(super) revision: i64,
    pub(super) changes: Vec<Change>,
}

/// What is known of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseFate {
    /// The grant was answered, and nobody asked to revoke it.
    Granted,
    /// The revocation was answered.
    Revoked,
    /// A grant or a revocation was under way.
    Unknown,
}

/// What one life of the server leaves to check.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Per writer, the changes of the request that got no answer; they may have happened.
    pub(super) under_way: Vec<Vec<Change>>,
    pub(super) leases: Vec<(i64, LeaseFate)>,
    /// The last HashKV before the kill.
    pub(super) hash: Option<Hash>,
}

/// An answer of HashKV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) revision: i64,
    pub(super) compact_revision: i64,
    pub(super) value: u32,
}

impl Round {
    pub(super) fn add(&mut self, notes: Self) {
        self.acknowledged.extend(notes.acknowledged);
        self.under_way.extend(notes.under_way);
        self.leases.extend(notes.leases);
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Put,
    Delete,
    Txn,
    Lease,
}

/// One writer in one life of the server.
#[derive(Debug)]
pub(super) struct Writer {
    kind: Kind,
    /// Part of every value, so that each is written once: life of the server, and writer.
    name: String,
    random: Random,
    notes: Round,
}

/// Keys that all putters and deleters share.
const SHARED_KEYS: u64 = 40;

impl Writer {
    pub(super) fn all(life: u64, random: &mut Random) -> Vec<Self> {
        use Kind::{Delete, Lease, Put, Txn};
        let kinds = [Put, Put, Put, Delete, Txn, Txn, Txn, Lease, Lease];
        let make = |(i, kind)| Self {
            kind,
            name: format!("{life}.{i}"),
            random: Random(random.next()),
            notes: Round::default(),
        };
        kinds.into_iter().enumerate().map(make).collect()
    }

    /// Writes until the server is gone.
    pub(super) async fn run(mut self, mut client: Client, dying: Arc<AtomicBool>) -> Round {
        for number in 0.. {
            let value = format!("{}.{number}", self.name);
            let outcome = match self.kind {
                Kind::Put => self.put(&mut client, &value).await,
                Kind::Delete => self.delete(&mut client).await,
                Kind::Txn => self.txn(&mut client, &value).await,
                Kind::Lease => self.lease(&mut client, &value).await,
            };
            if let Err(status) = outcome {
                let told = dying.load(Ordering::SeqCst);
                assert!(told, "{:?} failed before the kill: {status}", self.kind);
                break;
            }
        }
        self.notes
    }

    fn shared_key(&mut self) -> String {
        format!("shared/{}", self.random.below(SHARED_KEYS))
    }

    /// Notes that `changes` are under way; [`Self::answered`] takes them back.
    fn begin(&mut self, changes: Vec<Change>) {
        assert!(self.notes.under_way.is_empty());
        self.notes.under_way.push(changes);
    }

    /// The request under way was answered with this revision, having made `changes`.
    fn answered(&mut self, revision: i64, changes: Vec<Change>) {
        self.notes.under_way.clear();
        if !changes.is_empty() {
            self.notes
                .acknowledged
                .push(Acknowledged { revision, changes });
        }
    }

    async fn put(&mut self, client: &mut Client, value: &str) -> Result<(), Status> {
        let key = self.shared_key();
        // Sometimes across several pages of log and database.
        let padding = if self.random.below(16) == 0 { 9000 } else { 20 };
        let value = format!("{value:.<padding$}");
        let changes = vec![Change::put(&key, &value, 0)];
        self.begin(changes.clone());
        let answer = client.kv.put(put(&key, &value)).await?.into_inner();
        self.answered(revision(answer.header), changes);
        Ok(())
    }

    async fn delete(&mut self, client: &mut Client) -> Result<(), Status> {
        let key = self.shared_key();
        let changes = vec![Change::delete(&key)];
        self.begin(changes.clone());
        let answer = client.kv.delete_range(delete(&key)).await?.into_inner();
        let changes = if answer.deleted == 1 {
            changes
        } else {
            Vec::new()
        };
        self.answered(revision(answer.header), changes);
        Ok(())
    }

    /// Three keys get one value, and a fourth, private one goes or comes.
    async fn txn(&mut self, client: &mut Client, value: &str) -> Result<(), Status> {
        let group = self.random.below(10);
        let keys = ["a", "b", "c"].map(|part| format!("txn/{group}/{part}"));
        let private = format!("txn/private/{}", self.name);
        let mut ops: Vec<_> = keys.iter().map(|key| op_put(put(key, value))).collect();
        let mut changes: Vec<_> = keys.iter().map(|key| Change::put(key, value, 0)).collect();
        ops.push(op_range(everything()));
        // The private key is there after every even transaction of this writer.
        let number: u64 = value.rsplit('.').next().unwrap().parse().unwrap();
        if number.is_multiple_of(2) {
            ops.push(op_put(put(&private, value)));
            changes.push(Change::put(&private, value, 0));
        } else {
            ops.push(op_delete(delete(&private)));
            changes.push(Change::delete(&private));
        }
        self.begin(changes.clone());
        let answer = client.kv.txn(txn(ops)).await?.into_inner();
        assert!(answer.succeeded);
        if let Some(Response::ResponseDeleteRange(deleted)) = &answer.responses[4].response {
            assert_eq!(deleted.deleted, 1);
        }
        self.answered(revision(answer.header), changes);
        Ok(())
    }

    /// Grants a lease, attaches a key to it, and revokes every other one.
    async fn lease(&mut self, client: &mut Client, value: &str) -> Result<(), Status> {
        // The id is ours, so that a grant without an answer can be looked for.
        let id = i64::try_from(self.random.next() >> 2).unwrap();
        self.notes.leases.push((id, LeaseFate::Unknown));
        client
            .lease
            .lease_grant(LeaseGrantRequest { id, ttl: 5000 })
            .await?;
        self.fate(LeaseFate::Granted);

        let key = format!("lease/{id}");
        let changes = vec![Change::put(&key, value, id)];
        self.begin(changes.clone());
        let request = PutRequest {
            lease: id,
            ..put(&key, value)
        };
        let answer = client.kv.put(request).await?.into_inner();
        self.answered(revision(answer.header), changes);

        if self.random.below(2) == 0 {
            let changes = vec![Change::delete(&key)];
            self.begin(changes.clone());
            self.fate(LeaseFate::Unknown);
            let answer = client
                .lease
                .lease_revoke(LeaseRevokeRequest { id })
                .await?
                .into_inner();
            self.fate(LeaseFate::Revoked);
            self.answered(revision(answer.header), changes);
        }
        Ok(())
    }

    fn fate(&mut self, fate: LeaseFate) {
        self.notes.leases.last_mut().unwrap().1 = fate;
    }
}
