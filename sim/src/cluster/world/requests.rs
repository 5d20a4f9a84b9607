//! What clients ask members, and what they get.

use varve_proto::etcdserverpb::{TxnResponse, response_op};
use varve_server::rpc::{RpcError, Status};
use varve_server::stepped::{Reply, Request, Response, poll};

use super::{Event, WATCH_INTERVAL, World, at};
use crate::check::{Checked, Property, Violation};
use crate::cluster::clients::{Asked, Pending, pairs};
use crate::cluster::slot::Standing;
use crate::cluster::{SLOTS, TICK};
use crate::history::{Answer, Call, Outcome, Seen};

impl World<'_> {
    /// A client asks a member.
    pub(super) fn call(&mut self, id: u64, asked: Asked, request: Request) -> Checked {
        let now = self.queue.now();
        self.stats.requests += 1;
        // A process that stands still, or is not there, does not answer: the client gives up.
        let start = self.slots[at(id)].start;
        let awake = self.slots[at(id)].paused_until <= now && self.wake(id, start);
        let Some(running) = self.slots[at(id)].running.as_ref().filter(|_| awake) else {
            self.outcome(asked, now, Err(RpcError::NoLeader.into()), id)?;
            return Ok(());
        };
        let call = running.member.call(request);
        let number = self.clients.number();
        self.clients.pending.insert(
            number,
            Pending {
                slot: id,
                asked,
                invoked: now,
                call,
            },
        );
        let patience = self.plan.settings.patience;
        self.queue.after(patience, Event::GiveUp(number));
        self.settle(id)
    }

    /// Goes on with the requests at a member.
    pub(super) fn answer_clients(&mut self, id: u64) -> Checked {
        let numbers: Vec<u64> = self
            .clients
            .pending
            .iter()
            .filter(|(_, pending)| pending.slot == id)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let Some(pending) = self.clients.pending.get_mut(&number) else {
                continue;
            };
            if let Some(reply) = poll(&mut pending.call)
                && let Some(pending) = self.clients.pending.remove(&number)
            {
                self.outcome(pending.asked, pending.invoked, reply, id)?;
            }
        }
        Ok(())
    }

    pub(super) fn give_up(&mut self, number: u64) {
        if let Some(pending) = self.clients.pending.remove(&number) {
            self.stats.given_up += 1;
            self.unknown(pending);
        }
    }

    /// A member is gone, and with it what was asked of it.
    pub(super) fn lose_clients(&mut self, id: u64) {
        let lost: Vec<u64> = self
            .clients
            .pending
            .iter()
            .filter(|(_, pending)| pending.slot == id)
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            if let Some(pending) = self.clients.pending.remove(&number) {
                self.unknown(pending);
            }
        }
    }

    fn unknown(&mut self, pending: Pending) {
        if let Asked::Operation(call) = pending.asked {
            let now = self.queue.now();
            self.clients
                .done(call, pending.invoked, now, Outcome::Unknown);
        }
    }

    /// Records an answer, and does what follows from it.
    fn outcome(&mut self, asked: Asked, invoked: u64, reply: Reply, id: u64) -> Checked {
        let now = self.queue.now();
        if self.trace.is_recording() {
            self.trace
                .line(now, format_args!("{id} answers {asked:?}: {reply:?}"));
        }
        self.trace.note(&[7, now, id, u64::from(reply.is_ok())]);
        self.stats.answered += u64::from(reply.is_ok());
        match (asked, reply) {
            (Asked::Operation(call), reply) => {
                let outcome = outcome_of(&call, reply)?;
                let late = self.healing && matches!(outcome, Outcome::Ok(_));
                self.late_acknowledged |= late && !call.writes().is_empty();
                self.clients.done(call, invoked, now, outcome);
                Ok(())
            }
            (Asked::Compact, Ok(_)) => {
                self.stats.compactions += 1;
                Ok(())
            }
            (Asked::Grant(number), Ok(Response::LeaseGrant(granted))) => {
                self.stats.grants += 1;
                self.clients.renewed(number, granted.ttl, invoked, now);
                let (asked, request) = self.clients.attach(number);
                // Asked later: this is the middle of a member's turn.
                self.later(id, asked, request)
            }
            (Asked::KeepAlive(number), Ok(Response::LeaseKeepAlive(renewed))) => {
                self.stats.renewals += 1;
                self.clients.renewed(number, renewed.ttl, invoked, now);
                Ok(())
            }
            (Asked::Join(slot), reply) => {
                let known = |error: &Status| {
                    [RpcError::MemberExist, RpcError::PeerUrlExist]
                        .iter()
                        .any(|known| known.text() == error.message())
                };
                if reply.as_ref().map_or_else(known, |_| true) {
                    self.arrive(slot);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn later(&mut self, id: u64, asked: Asked, request: Request) -> Checked {
        let Some(running) = &self.slots[at(id)].running else {
            return Ok(());
        };
        let call = running.member.call(request);
        let number = self.clients.number();
        let invoked = self.queue.now();
        self.clients.pending.insert(
            number,
            Pending {
                slot: id,
                asked,
                invoked,
                call,
            },
        );
        let patience = self.plan.settings.patience;
        self.queue.after(patience, Event::GiveUp(number));
        Ok(())
    }

    /// A member that was added starts.
    pub(super) fn arrive(&mut self, id: u64) {
        let slot = &mut self.slots[at(id)];
        if slot.standing == Standing::Empty {
            slot.standing = Standing::Taken;
            self.stats.joins += 1;
            self.queue.after(TICK, Event::Start(id));
        }
    }

    /// A watching client takes what has come, or turns to another member.
    pub(super) fn look_at_watch(&mut self, number: usize) -> Checked {
        if self.healing {
            return Ok(());
        }
        self.queue.after(WATCH_INTERVAL, Event::Watch(number));
        let now = self.queue.now();
        let session = &mut self.watches[number];
        let slot = &self.slots[at(session.slot)];
        match &slot.running {
            // Nobody answers; the client waits.
            Some(_) if slot.paused_until > now => {}
            Some(running) => {
                self.stats.events_seen += session.take(&running.member)? as u64;
            }
            None => {
                session.leave();
                let next = (0..SLOTS)
                    .map(|step| (session.slot + step) % SLOTS + 1)
                    .find(|id| self.slots[at(*id)].running.is_some());
                if let Some(next) = next {
                    session.slot = next;
                }
            }
        }
        Ok(())
    }
}

/// What an answer means for the history.
fn outcome_of(call: &Call, reply: Reply) -> Result<Outcome, Violation> {
    let response = match reply {
        Ok(response) => response,
        Err(status) if status.message() == RpcError::Stopped.text() => return Ok(Outcome::Unknown),
        Err(_) => return Ok(Outcome::Failed),
    };
    let revision_of = |header: &Option<varve_proto::etcdserverpb::ResponseHeader>| {
        header.as_ref().map_or(0, |header| header.revision)
    };
    let (revision, seen) = match response {
        Response::Put(put) => (revision_of(&put.header), Seen::Put),
        Response::DeleteRange(delete) => (
            revision_of(&delete.header),
            Seen::Deleted(delete.deleted.cast_unsigned()),
        ),
        Response::Range(range) => (revision_of(&range.header), Seen::Pairs(pairs(range.kvs))),
        Response::Txn(txn) => (revision_of(&txn.header), seen_in(txn)),
        other => {
            let what = format!("{call} is answered by {other:?}");
            return Err(Violation::new(Property::Atomicity, what));
        }
    };
    Ok(Outcome::Ok(Answer { revision, seen }))
}

fn seen_in(txn: TxnResponse) -> Seen {
    let (mut deleted, mut found) = (0, Vec::new());
    for op in txn.responses {
        match op.response {
            Some(response_op::Response::ResponseDeleteRange(delete)) => {
                deleted += delete.deleted.cast_unsigned();
            }
            Some(response_op::Response::ResponseRange(range)) => found.extend(pairs(range.kvs)),
            _ => {}
        }
    }
    if txn.succeeded {
        Seen::Then(deleted)
    } else {
        Seen::Else(found)
    }
}
