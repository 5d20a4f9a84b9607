//! After the faults: everybody is back, the network is whole, and the cluster has to agree.

use varve_raftnode::membership::to_json;
use varve_vfs::CrashRule;

use super::{Event, World, at};
use crate::check::{Checked, Property, Violation};
use crate::cluster::ledger::content;
use crate::cluster::plan::Op;
use crate::cluster::slot::Standing;
use crate::cluster::{SLOTS, TICK};
use crate::history::History;
use crate::net::Weather;

/// Looks, a tick apart, until the cluster must have agreed and its leases have run out.
const MAX_LOOKS: u64 = 300;

/// While faults go on nobody may be there to revoke a lease; after them they have to go, see `look`.
const NO_BOUND: u64 = u64::MAX / 4;

impl World<'_> {
    pub(super) fn heal(&mut self) -> Checked {
        let now = self.queue.now();
        self.trace.note(&[8, now]);
        self.trace.line(now, format_args!("-- faults end"));
        self.healing = true;
        self.net.mend();
        self.net.set_weather(Weather::calm(TICK / 20));
        for id in 1..=SLOTS {
            if self.slots[at(id)].has_failed() {
                // It would find out with its next write.
                self.crash(id, CrashRule::Subset, TICK);
            }
            let slot = &mut self.slots[at(id)];
            slot.fs.heal();
            slot.fs.limit_space(None);
            slot.full = false;
            slot.armed = None;
            slot.paused_until = 0;
            slot.slowness = 1;
            slot.disk_stalls_until = 0;
            self.start(id)?;
        }
        self.queue.after(TICK, Event::Look(0));
        Ok(())
    }

    /// True: the members agree, and all is as it must be.
    pub(super) fn look(&mut self, round: u64) -> Result<bool, Violation> {
        if let Some(leader) = self.leader() {
            let members: Vec<u64> = self.members_of(leader).map(|(id, _)| id).collect();
            for id in 1..=SLOTS {
                match self.slots[at(id)].standing {
                    // It was added, and nobody was told.
                    Standing::Empty if members.contains(&id) => self.arrive(id),
                    Standing::Taken if !members.contains(&id) && round > 50 => self.switch_off(id),
                    _ => {}
                }
            }
            if self.has_agreed(leader, &members) {
                self.check_all(&members)?;
                return Ok(true);
            }
            if round.is_multiple_of(4) && !self.late_acknowledged {
                let now = self.queue.now();
                if let Some((asked, request)) = self.clients.ask(&Op::Put { key: 0 }, now) {
                    self.call(leader, asked, request)?;
                }
            }
        }
        if round >= MAX_LOOKS {
            return Err(self.no_agreement());
        }
        self.queue.after(TICK, Event::Look(round + 1));
        Ok(false)
    }

    fn has_agreed(&self, leader: u64, members: &[u64]) -> bool {
        let status = |id: u64| {
            let running = self.slots[at(id)].running.as_ref()?;
            let leases = running.member.store().lessor().leases();
            Some((running.member.node().status(), leases.len()))
        };
        let Some((leading, leases)) = status(leader) else {
            return false;
        };
        self.late_acknowledged
            && self.clients.pending.is_empty()
            && leases == 0
            // A new leader may not know yet what its predecessor has applied.
            && leading.applied == self.ledger.lock().last()
            && leading.commit == leading.applied
            && members.iter().all(|id| {
                status(*id).is_some_and(|(status, _)| {
                    status.applied == leading.applied && status.leader == leader
                })
            })
    }

    /// The last word on everything.
    fn check_all(&mut self, members: &[u64]) -> Checked {
        let mut views = Vec::new();
        for id in members {
            let Some(running) = &self.slots[at(*id)].running else {
                continue;
            };
            let store = running.member.store();
            let unreadable = |e: varve_mvcc::Error| super::failure(*id, e);
            let hash = store.hash_kv(0).map_err(unreadable)?;
            let cluster = running.member.cluster();
            let known: Vec<String> = cluster
                .members()
                .map(|m| format!("{:x} {} {}", m.id, m.is_learner, to_json(m)))
                .collect();
            views.push((
                *id,
                (
                    hash,
                    store.revision(),
                    store.compact_revision(),
                    store.lessor().leases(),
                    known,
                ),
            ));
            let ledger = self.ledger.lock();
            if content(store)? != *ledger.now() {
                let what = format!("member {id} holds something else in the end");
                return Err(Violation::new(Property::StateMachineSafety, what));
            }
        }
        let mut pairs = views.iter().zip(views.iter().skip(1));
        if let Some((one, other)) = pairs.find(|(one, other)| one.1 != other.1) {
            let what = format!("in the end members differ: {one:?}, {other:?}");
            return Err(Violation::new(Property::StateMachineSafety, what));
        }
        self.finish_watches(members)?;
        self.check_history()
    }

    fn finish_watches(&mut self, members: &[u64]) -> Checked {
        let revision = self.ledger.lock().history.last();
        for (number, session) in self.watches.iter_mut().enumerate() {
            if !members.contains(&session.slot) {
                session.leave();
                session.slot = members[number % members.len()];
            }
            if let Some(running) = &self.slots[at(session.slot)].running {
                self.stats.events_seen += session.finish(&running.member, revision)? as u64;
            }
        }
        Ok(())
    }

    fn check_history(&mut self) -> Checked {
        let history = History {
            operations: std::mem::take(&mut self.clients.operations),
            watches: self
                .watches
                .iter_mut()
                .flat_map(|session| std::mem::take(&mut session.done))
                .collect(),
            leases: self
                .clients
                .leases
                .iter()
                .map(|lease| lease.run.clone())
                .collect(),
            lease_bound: NO_BOUND,
        };
        let now = self.queue.now();
        let checked = history.check(&self.ledger.lock().history);
        if checked.is_err() && self.trace.is_recording() {
            self.tell_history();
        }
        let summary = checked?;
        self.trace.line(now, format_args!("-- {summary}"));
        self.stats.operations += history.operations.len() as u64;
        self.stats.unknown += summary.unknown as u64;
        Ok(())
    }

    /// What the store went through, for who has to find out why its clients object.
    fn tell_history(&mut self) {
        let now = self.queue.now();
        let ledger = self.ledger.lock();
        for (revision, events) in ledger.history.revisions() {
            let events: Vec<String> = events.iter().map(ToString::to_string).collect();
            self.trace
                .line(now, format_args!("{revision}: {}", events.join(", ")));
        }
    }

    fn no_agreement(&self) -> Violation {
        let states: Vec<String> = self
            .slots
            .iter()
            .filter_map(|slot| {
                let running = slot.running.as_ref()?;
                let leases = running.member.store().lessor().leases();
                let known: Vec<_> = self.members_of(slot.id).collect();
                Some(format!(
                    "{} ({:?}, members {known:?}, leases {leases:?})",
                    slot.id,
                    running.member.node().status()
                ))
            })
            .collect();
        let what = format!(
            "no agreement, {} requests open, late write {}: {}",
            self.clients.pending.len(),
            self.late_acknowledged,
            states.join(", ")
        );
        Violation::new(Property::Recovery, what)
    }
}
