//! Clients: what they ask, what they are told, and the record of both.

use std::collections::BTreeMap;

use bytes::Bytes;
use varve_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use varve_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
    PutRequest, RangeRequest, RequestOp, TxnRequest, request_op,
};
use varve_server::stepped::{Call as Future, Request};

use super::plan::Op;
use crate::history::lease::{Look, Renewal};
use crate::history::{Call, LeaseRun, Operation, Outcome, Seen, Span, Stored, Write};

/// What keys of clients begin with; those that hang on leases begin with another letter, so that nothing
/// but the end of the lease removes them.
const PREFIX: &str = "k";

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Something that histories hold.
    Operation(Call),
    /// A compaction.
    Compact,
    /// A lease, by its place in the list.
    Grant(usize),
    /// Its renewal.
    KeepAlive(usize),
    /// Its end.
    Revoke,
    /// A member in this slot.
    Join(u64),
    /// Something else an operator wants.
    Other,
}

/// A request under way.
pub(super) struct Pending {
    /// At whom.
    pub(super) slot: u64,
    pub(super) asked: Asked,
    pub(super) invoked: u64,
    pub(super) call: Future,
}

/// A lease that somebody took, or tried to.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) run: LeaseRun,
    pub(super) key: Bytes,
    /// When the key was known to hang on it.
    attached: Option<u64>,
}

/// All clients.
#[derive(Default)]
pub(super) struct Clients {
    pub(super) pending: BTreeMap<u64, Pending>,
    next: u64,
    pub(super) operations: Vec<Operation>,
    pub(super) leases: Vec<Lease>,
    /// The revision at which keys were last seen to be changed.
    seen: BTreeMap<Bytes, i64>,
    revision: i64,
    values: u64,
}

impl Clients {
    /// A number for the next request.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn value(&mut self) -> Bytes {
        self.values += 1;
        // Of many lengths, so that pages of the database split in many ways.
        let fill = usize::try_from(self.values * 37 % 90).unwrap_or(0);
        Bytes::from(format!("v{}{}", self.values, ".".repeat(fill)))
    }

    /// What an operation of a plan asks for now; `None` where it cannot be done.
    pub(super) fn ask(&mut self, op: &Op, now: u64) -> Option<(Asked, Request)> {
        let call = match *op {
            Op::Put { key } => {
                let (key, value) = (name(key), self.value());
                Call::Write(Write::Put {
                    key,
                    value,
                    lease: 0,
                })
            }
            Op::Delete { key, all } => Call::Write(Write::Delete(if all {
                Span::Prefix(Bytes::from_static(PREFIX.as_bytes()))
            } else {
                Span::Key(name(key))
            })),
            Op::Read {
                key,
                all,
                serializable,
                back,
            } => Call::Range {
                span: if all {
                    Span::Prefix(Bytes::new())
                } else {
                    Span::Key(name(key))
                },
                serializable,
                at: if back == 0 {
                    0
                } else {
                    (self.revision - back).max(0)
                },
            },
            Op::Swap { key, wrong } => {
                let key = name(key);
                let revision = self.expected(&key) + i64::from(wrong) * 1_000_000;
                let put = self.put(&key);
                Call::Txn {
                    compare: vec![(key, revision)],
                    then: vec![put],
                }
            }
            Op::Several { keys } => {
                let [first, second, third] = keys.map(name);
                let compare = vec![(first.clone(), self.expected(&first))];
                let then = vec![
                    self.put(&first),
                    self.put(&second),
                    Write::Delete(Span::Key(third)),
                ];
                Call::Txn { compare, then }
            }
            Op::Compact { keep } => {
                let revision = self.revision - keep;
                return (revision > 0).then_some((
                    Asked::Compact,
                    Request::Compact(CompactionRequest {
                        revision,
                        physical: false,
                    }),
                ));
            }
            Op::Grant { ttl } => return Some(self.grant(ttl)),
            Op::KeepAlive { lease } => {
                let number = self.pick(lease)?;
                let id = self.leases[number].run.id;
                return Some((Asked::KeepAlive(number), Request::LeaseKeepAlive(id)));
            }
            Op::Revoke { lease } => {
                let number = self.pick(lease)?;
                let run = &mut self.leases[number].run;
                run.revoked.get_or_insert(now);
                let id = run.id;
                return Some((
                    Asked::Revoke,
                    Request::LeaseRevoke(LeaseRevokeRequest { id }),
                ));
            }
        };
        let request = request(&call);
        Some((Asked::Operation(call), request))
    }

    fn put(&mut self, key: &Bytes) -> Write {
        Write::Put {
            key: key.clone(),
            value: self.value(),
            lease: 0,
        }
    }

    fn expected(&self, key: &Bytes) -> i64 {
        self.seen.get(key).copied().unwrap_or(0)
    }

    fn grant(&mut self, ttl: i64) -> (Asked, Request) {
        let number = self.leases.len();
        let id = 1000 + i64::try_from(number).unwrap_or(0);
        self.leases.push(Lease {
            run: LeaseRun {
                id,
                ttl: 0,
                renewals: Vec::new(),
                revoked: None,
                looks: Vec::new(),
            },
            key: Bytes::from(format!("l{id}")),
            attached: None,
        });
        (
            Asked::Grant(number),
            Request::LeaseGrant(LeaseGrantRequest { id, ttl }),
        )
    }

    /// One of the leases that were granted lately.
    fn pick(&self, draw: u64) -> Option<usize> {
        let granted: Vec<usize> = (0..self.leases.len())
            .filter(|number| self.leases[*number].run.ttl > 0)
            .collect();
        let recent = &granted[granted.len().saturating_sub(3)..];
        if recent.is_empty() {
            return None;
        }
        let at = usize::try_from(draw % recent.len() as u64).unwrap_or(0);
        Some(recent[at])
    }

    /// The put that hangs a lease's key on it.
    pub(super) fn attach(&mut self, number: usize) -> (Asked, Request) {
        let value = self.value();
        let lease = &self.leases[number];
        let call = Call::Write(Write::Put {
            key: lease.key.clone(),
            value,
            lease: lease.run.id,
        });
        let request = request(&call);
        (Asked::Operation(call), request)
    }

    /// A lease was granted for so many seconds, or renewed.
    pub(super) fn renewed(&mut self, number: usize, ttl: i64, invoked: u64, now: u64) {
        let run = &mut self.leases[number].run;
        if run.ttl == 0 {
            run.ttl = ttl.cast_unsigned() * 1000;
        }
        run.renewals.push(Renewal {
            invoked,
            completed: now,
            acknowledged: true,
        });
    }

    /// Records what came of an operation.
    pub(super) fn done(&mut self, call: Call, invoked: u64, now: u64, outcome: Outcome) {
        if let Outcome::Ok(answer) = &outcome {
            self.revision = self.revision.max(answer.revision);
            match &answer.seen {
                Seen::Put | Seen::Then(_) | Seen::Deleted(_) => {
                    for write in call.writes() {
                        match write {
                            Write::Put { key, .. } => self.note(key, answer.revision),
                            Write::Delete(span) => self.seen.retain(|key, _| !span.contains(key)),
                        }
                    }
                }
                Seen::Pairs(pairs) | Seen::Else(pairs) => {
                    for pair in pairs {
                        self.note(&pair.key.clone(), pair.mod_revision);
                    }
                }
            }
            self.look_for_leases(&call, invoked, now, &answer.seen);
        }
        self.operations.push(Operation {
            client: self.operations.len() as u64,
            call,
            invoked,
            completed: now,
            outcome,
        });
    }

    fn note(&mut self, key: &Bytes, revision: i64) {
        let seen = self.seen.entry(key.clone()).or_default();
        *seen = revision.max(*seen);
    }

    /// What a put or a linearizable read says of leases.
    fn look_for_leases(&mut self, call: &Call, invoked: u64, now: u64, seen: &Seen) {
        match call {
            Call::Write(Write::Put { key, lease, .. }) if *lease != 0 => {
                for lease in self.leases.iter_mut().filter(|l| l.key == key) {
                    lease.attached.get_or_insert(now);
                }
            }
            Call::Range {
                span,
                serializable: false,
                at: 0,
            } => {
                let Seen::Pairs(pairs) = seen else { return };
                for lease in self.leases.iter_mut().filter(|l| span.contains(&l.key)) {
                    let alive = pairs.iter().any(|pair| pair.key == lease.key);
                    if alive || lease.attached.is_some_and(|at| at < invoked) {
                        lease.run.looks.push(Look {
                            invoked,
                            completed: now,
                            alive,
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

fn name(key: u64) -> Bytes {
    Bytes::from(format!("{PREFIX}{key}"))
}

/// First key and end of a span, as requests have them.
pub(super) fn range_of(span: &Span) -> (Bytes, Bytes) {
    match span {
        Span::Key(key) => (key.clone(), Bytes::new()),
        Span::Prefix(prefix) => match prefix.split_last() {
            None => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
            Some((last, head)) => {
                let end = [head, &[last.saturating_add(1)]].concat();
                (prefix.clone(), Bytes::from(end))
            }
        },
    }
}

fn put_request(write: &Write) -> Option<PutRequest> {
    match write {
        Write::Put { key, value, lease } => Some(PutRequest {
            key: key.clone(),
            value: value.clone(),
            lease: *lease,
            ..PutRequest::default()
        }),
        Write::Delete(_) => None,
    }
}

fn delete_request(span: &Span) -> DeleteRangeRequest {
    let (key, range_end) = range_of(span);
    DeleteRangeRequest {
        key,
        range_end,
        ..DeleteRangeRequest::default()
    }
}

fn op_of(write: &Write) -> RequestOp {
    let request = match write {
        Write::Delete(span) => request_op::Request::RequestDeleteRange(delete_request(span)),
        put @ Write::Put { .. } => {
            request_op::Request::RequestPut(put_request(put).unwrap_or_default())
        }
    };
    RequestOp {
        request: Some(request),
    }
}

/// A call as a request.
fn request(call: &Call) -> Request {
    match call {
        Call::Write(Write::Delete(span)) => Request::DeleteRange(delete_request(span)),
        Call::Write(put) => Request::Put(put_request(put).unwrap_or_default()),
        Call::Range {
            span,
            serializable,
            at,
        } => {
            let (key, range_end) = range_of(span);
            Request::Range(RangeRequest {
                key,
                range_end,
                serializable: *serializable,
                revision: *at,
                ..RangeRequest::default()
            })
        }
        Call::Txn { compare, then } => {
            let comparisons = compare.iter().map(|(key, revision)| Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Mod.into(),
                key: key.clone(),
                target_union: Some(TargetUnion::ModRevision(*revision)),
                ..Compare::default()
            });
            let reads = compare.iter().map(|(key, _)| RequestOp {
                request: Some(request_op::Request::RequestRange(RangeRequest {
                    key: key.clone(),
                    ..RangeRequest::default()
                })),
            });
            Request::Txn(TxnRequest {
                compare: comparisons.collect(),
                success: then.iter().map(op_of).collect(),
                failure: reads.collect(),
            })
        }
    }
}

/// Pairs of a response.
pub(super) fn pairs(kvs: Vec<varve_proto::mvccpb::KeyValue>) -> Vec<Stored> {
    kvs.into_iter().map(super::ledger::stored).collect()
}
