//! What the server must hold: the checked history, and what the last life adds to it.

use std::collections::BTreeMap;

use tokio_stream::wrappers::ReceiverStream;
use varve_proto::etcdserverpb::watch_request::RequestUnion;
use varve_proto::etcdserverpb::{
    HashKvRequest, LeaseTimeToLiveRequest, WatchCreateRequest, WatchRequest,
};
use varve_proto::mvccpb::{KeyValue, event::EventType};

use super::writers::{Change, LeaseFate, Round};
use crate::client::{Client, everything, revision};
use crate::harness::{Server, is_varve};

/// The model, up to the last checked revision.
#[derive(Debug)]
pub(super) struct History {
    checked: i64,
    live: BTreeMap<String, KeyValue>,
    /// Leases that are known to be there.
    leases: Vec<i64>,
    expected: Round,
    acknowledged: u64,
    hashes: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            // A fresh store is at revision 1, which changed nothing.
            checked: 1,
            live: BTreeMap::new(),
            leases: Vec::new(),
            expected: Round::default(),
            acknowledged: 0,
            hashes: 0,
        }
    }
}

impl History {
    /// What the life that just ended left to check.
    pub(super) fn expect(&mut self, round: Round) {
        self.expected = round;
    }

    /// The last revision that was checked.
    pub(super) fn checked(&self) -> i64 {
        self.checked
    }

    /// Acknowledged writes and hashes that were checked.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.acknowledged, self.hashes)
    }

    /// Checks a server that was just started against everything that is known.
    pub(super) async fn check(&mut self, server: &Server) {
        let mut client = Client::connect(server).await;
        let expected = std::mem::take(&mut self.expected);
        if let Some(before) = expected.hash {
            let request = HashKvRequest {
                revision: before.revision,
            };
            let after = client
                .maintenance
                .hash_kv(request)
                .await
                .unwrap()
                .into_inner();
            // A compaction after the hash was taken removed some of what it covered. And etcd 3.5.1
            // hashes a deletion at the compaction revision or not, as its index happens to be.
            let compacted = before.compact_revision != after.compact_revision
                || (!is_varve() && after.compact_revision > 0);
            if !compacted {
                assert_eq!(after.hash, before.value, "HashKV changed: {before:?}");
                self.hashes += 1;
            }
        }
        let now = revision(client.all(0).await.header);
        let mut happened = read_history(&mut client, self.checked + 1, now).await;
        self.compare(&expected, &mut happened);
        self.checked = now;

        let all = client.all(0).await;
        let live: Vec<_> = self.live.values().cloned().collect();
        assert_eq!(
            all.kvs, live,
            "the keys are not what their history makes them"
        );
        self.check_leases(&mut client, &expected).await;
    }

    /// Every acknowledged write is at its revision, whole; what else happened was under way.
    fn compare(&mut self, expected: &Round, happened: &mut BTreeMap<i64, Vec<KeyValue>>) {
        let mut acknowledged = BTreeMap::new();
        for write in &expected.acknowledged {
            let other = acknowledged.insert(write.revision, &write.changes);
            assert!(
                other.is_none(),
                "two answers with revision {}",
                write.revision
            );
            self.acknowledged += 1;
        }
        let mut under_way = expected.under_way.clone();
        for (&revision, events) in &*happened {
            let found: Vec<_> = events.iter().map(change_of).collect();
            match acknowledged.remove(&revision) {
                Some(changes) => assert_eq!(&found, changes, "revision {revision}"),
                None => {
                    let request = under_way.iter().position(|changes| *changes == found);
                    let request = request.unwrap_or_else(|| {
                        panic!("nobody asked for revision {revision}: {found:?}")
                    });
                    under_way.swap_remove(request);
                }
            }
            for event in events {
                self.apply(event);
            }
        }
        assert!(
            acknowledged.is_empty(),
            "acknowledged and lost: {acknowledged:?}"
        );
    }

    /// Applies an event to the model and checks the numbers in it.
    fn apply(&mut self, event: &KeyValue) {
        let key = String::from_utf8(event.key.to_vec()).unwrap();
        if event.version == 0 {
            assert!(self.live.remove(&key).is_some(), "{key} was deleted twice");
            return;
        }
        let (created, version) = match self.live.get(&key) {
            Some(old) => (old.create_revision, old.version + 1),
            None => (event.mod_revision, 1),
        };
        assert_eq!(
            (event.create_revision, event.version),
            (created, version),
            "{key}"
        );
        self.live.insert(key, event.clone());
    }

    async fn check_leases(&mut self, client: &mut Client, expected: &Round) {
        for &(id, fate) in &expected.leases {
            let there = lease_keys(client, id).await.is_some();
            match fate {
                LeaseFate::Granted => assert!(there, "lease {id} was granted and is gone"),
                LeaseFate::Revoked => assert!(!there, "lease {id} was revoked and is there"),
                LeaseFate::Unknown => {}
            }
            if there {
                self.leases.push(id);
            }
        }
        // Of all leases there are, newest first; an old one is not looked at in every round.
        for &id in self.leases.iter().rev().take(100) {
            let keys = lease_keys(client, id)
                .await
                .expect("a lease that was there is gone");
            let attached: Vec<_> = self
                .live
                .values()
                .filter(|kv| kv.lease == id)
                .map(|kv| kv.key.clone())
                .collect();
            assert_eq!(keys, attached, "keys of lease {id}");
        }
    }
}

/// Keys of a lease; `None` when there is no such lease.
async fn lease_keys(client: &mut Client, id: i64) -> Option<Vec<bytes::Bytes>> {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    let lease = client
        .lease
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner();
    if lease.ttl == -1 {
        return None;
    }
    assert_eq!(lease.granted_ttl, 5000);
    Some(lease.keys)
}

/// A deletion has version 0 in its event.
fn change_of(event: &KeyValue) -> Change {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Change {
        key: text(&event.key),
        value: (event.version > 0).then(|| (text(&event.value), event.lease)),
    }
}

/// Everything that happened from revision `from` to `to`, by revision, as a watch tells it.
async fn read_history(client: &mut Client, from: i64, to: i64) -> BTreeMap<i64, Vec<KeyValue>> {
    let mut out: BTreeMap<i64, Vec<KeyValue>> = BTreeMap::new();
    if to < from {
        return out;
    }
    let all = everything();
    let create = WatchCreateRequest {
        key: all.key,
        range_end: all.range_end,
        start_revision: from,
        ..Default::default()
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let request_union = Some(RequestUnion::CreateRequest(create));
    sender.send(WatchRequest { request_union }).await.unwrap();
    let answers = client
        .watch
        .watch(ReceiverStream::new(receiver))
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    while out.last_key_value().is_none_or(|(&last, _)| last < to) {
        let answer = answers.message().await.unwrap().expect("the watch ended");
        assert!(!answer.canceled, "{answer:?}");
        let newest = out.last_key_value().map_or(0, |(&revision, _)| revision);
        for event in answer.events {
            let kind = event.r#type();
            let kv = event.kv.unwrap();
            assert!(
                kv.mod_revision >= newest.max(from),
                "an event twice or out of order"
            );
            assert_eq!(kind == EventType::Delete, kv.version == 0);
            out.entry(kv.mod_revision).or_default().push(kv);
        }
    }
    assert!(
        out.keys().copied().eq(from..=to),
        "revisions are missing: {:?}",
        out.keys()
    );
    out
}
