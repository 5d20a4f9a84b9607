//! A client that puts, deletes, reads and compares, on keys that all of them share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tonic::transport::Channel;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_sim::Rng;
use varve_sim::history::{Call, Operation, Outcome, Seen, Span, Write};

use super::convert::ask;
use super::{Shared, connect, everything};

pub(super) type Kv = KvClient<Channel>;

/// A client of one member's key-value service.
pub(super) async fn kv(url: &str) -> Option<Kv> {
    let channel = connect(url).await?;
    Some(KvClient::new(channel).max_decoding_message_size(usize::MAX))
}

/// Lives until the traffic stops.
pub(super) async fn run(number: u64, shared: Arc<Shared>) {
    let mut mind = Mind {
        number,
        rng: Rng::new(number),
        puts: 0,
        known: BTreeMap::new(),
        newest: 0,
    };
    let mut at = number;
    while !shared.is_stopped() {
        let url = shared.url(at);
        if let Some(mut kv) = kv(&url).await {
            while !shared.is_stopped() && shared.url(at) == url {
                let call = mind.draw(&shared);
                let operation = perform(&mut kv, &url, number, call, &shared).await;
                mind.learn(&operation);
                if operation.answer().is_none() {
                    break;
                }
                tokio::time::sleep(shared.plan.pause).await;
            }
        }
        at += u64::from(number % 3 == 2);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks, and records what came of it.
pub(super) async fn perform(
    kv: &mut Kv,
    url: &str,
    client: u64,
    call: Call,
    shared: &Shared,
) -> Operation {
    // First it says that it is busy, then it looks whether there is a pause: whoever waits for nobody
    // to be busy sees one or the other.
    loop {
        shared.busy.fetch_add(1, Ordering::SeqCst);
        if !shared.paused.load(Ordering::SeqCst) || shared.is_stopped() {
            break;
        }
        shared.busy.fetch_sub(1, Ordering::SeqCst);
        shared.turn().await;
    }
    let invoked = shared.now();
    let (outcome, term) = ask(kv, &call).await;
    let completed = shared.now();
    if let Some(term) = term {
        shared
            .terms
            .lock()
            .unwrap()
            .entry(term)
            .or_insert(completed);
    }
    let operation = Operation {
        client,
        call,
        invoked,
        completed,
        outcome,
    };
    shared.record(url, operation.clone());
    shared.busy.fetch_sub(1, Ordering::SeqCst);
    operation
}

/// What a client knows, and what it comes up with.
struct Mind {
    number: u64,
    rng: Rng,
    puts: u64,
    /// The newest revision of a key that it saw.
    known: BTreeMap<Bytes, i64>,
    newest: i64,
}

impl Mind {
    fn key(&mut self, shared: &Shared) -> Bytes {
        format!("h/k{}", self.rng.below(shared.plan.keys)).into()
    }

    fn put(&mut self, key: Bytes, shared: &Shared) -> Write {
        self.puts += 1;
        let mut value = format!("{}/{}", self.number, self.puts);
        let more = shared.plan.value_bytes.saturating_sub(value.len());
        value.extend(std::iter::repeat_n('.', more));
        Write::Put {
            key,
            value: value.into(),
            lease: 0,
        }
    }

    fn draw(&mut self, shared: &Shared) -> Call {
        let key = self.key(shared);
        let read = |span, serializable, at| Call::Range {
            span,
            serializable,
            at,
        };
        match self.rng.below(100) {
            0..25 => Call::Write(self.put(key, shared)),
            25..33 => Call::Write(Write::Delete(Span::Key(key))),
            33..34 => Call::Write(Write::Delete(Span::Prefix(Bytes::from_static(b"h/k")))),
            34..60 => read(Span::Key(key), false, 0),
            60..68 => read(Span::Key(key), true, 0),
            68..72 => read(Span::Prefix(Bytes::from_static(b"h/")), false, 0),
            72..74 => read(Span::Prefix(Bytes::from_static(b"h/")), true, 0),
            74..76 if self.newest > 1 => {
                let back = self.rng.below(20).cast_signed().min(self.newest - 1);
                read(
                    Span::Prefix(Bytes::from_static(b"h/")),
                    false,
                    self.newest - back,
                )
            }
            _ => {
                // A change of one key, and sometimes of another, if the first is as it was seen.
                let expected = self.known.get(&key).copied().unwrap_or_default();
                let mut then = vec![self.put(key.clone(), shared)];
                let other = self.key(shared);
                if other != key {
                    then.push(match self.rng.below(4) {
                        0 => Write::Delete(Span::Key(other)),
                        _ => self.put(other, shared),
                    });
                }
                Call::Txn {
                    compare: vec![(key, expected)],
                    then,
                }
            }
        }
    }

    fn learn(&mut self, operation: &Operation) {
        let Outcome::Ok(answer) = &operation.outcome else {
            return;
        };
        self.newest = self.newest.max(answer.revision);
        match &answer.seen {
            Seen::Pairs(pairs) | Seen::Else(pairs) => {
                match &operation.call {
                    Call::Range {
                        span: Span::Key(key),
                        ..
                    } => drop(self.known.remove(key)),
                    Call::Txn { compare, .. } => {
                        self.known
                            .retain(|key, _| compare.iter().all(|(c, _)| c != key));
                    }
                    _ => {}
                }
                for pair in pairs {
                    self.known.insert(pair.key.clone(), pair.mod_revision);
                }
            }
            Seen::Put | Seen::Then(_) => {
                for (key, _) in operation.puts() {
                    self.known.insert(key.clone(), answer.revision);
                }
            }
            Seen::Deleted(_) => self.known.clear(),
        }
    }
}

/// Somebody who looks after everybody else has gone.
const OBSERVER: u64 = u64::MAX;

/// The revision of the store, once a member tells.
pub(super) async fn last_revision(url: &str, shared: &Shared) -> i64 {
    for _ in 0..100 {
        if let Some(mut kv) = kv(url).await {
            let operation = perform(&mut kv, url, OBSERVER, everything(), shared).await;
            if let Some(answer) = operation.answer() {
                return answer.revision;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{url} does not serve");
}

/// Reads all that a member has: now, and as of a revision, from itself.
pub(super) async fn read_all(url: &str, revision: i64, shared: &Shared) {
    last_revision(url, shared).await;
    let Some(mut kv) = kv(url).await else {
        panic!("{url} does not serve");
    };
    for at in [0, revision] {
        let call = Call::Range {
            span: Span::Prefix(Bytes::new()),
            serializable: true,
            at,
        };
        let operation = perform(&mut kv, url, OBSERVER, call, shared).await;
        assert!(operation.answer().is_some(), "{url} does not serve");
    }
}
