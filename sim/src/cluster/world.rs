//! A cluster under a plan: takes events off the queue, moves members, tells the checkers.
//!
//! # Invariants
//! 1. Nothing depends on anything but the plan: no clock, no order of a hash table, no address.
//! 2. Members reach each other by the network only, and their past by their disks only. Whatever a process
//!    held is gone when it ends, what was on its way from it included.

mod act;
mod heal;
mod network;
mod requests;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use varve_raftnode::{Role, StateExport};

use super::carry::Packet;
use super::clients::Clients;
use super::ledger::{Ledger, SharedLedger};
use super::plan::{Plan, Who};
use super::report::{Outcome, Stats};
use super::slot::{Slot, Standing};
use super::watches::Session;
use super::{SLOTS, TICK};
use crate::check::{Checked, Property, Violation};
use crate::net::Net;
use crate::queue::Queue;
use crate::rng::draw;
use crate::schedule::Counted as _;
use crate::trace::Trace;

/// No schedule needs as many events: one that does goes round in circles.
const MAX_EVENTS: u64 = 400_000;

/// Time between two looks of a watching client.
const WATCH_INTERVAL: u64 = 35;

/// What can happen next. What concerns a process names the start it belongs to.
#[derive(Debug)]
enum Event {
    Tick(u64, u64),
    Work(u64, u64, Role),
    Commit(u64, u64),
    Background(u64, u64),
    Leases(u64, u64),
    Deliver(Box<Packet>),
    Start(u64),
    Act(usize),
    /// A client's patience is at its end.
    GiveUp(u64),
    /// A watching client looks.
    Watch(usize),
    End,
    /// After the end: a look at how far the members have come.
    Look(u64),
}

/// A cluster.
pub(super) struct World<'a> {
    plan: &'a Plan,
    seeded: varve_server::stepped::Seeded,
    queue: Queue<Event>,
    net: Net,
    slots: Vec<Slot>,
    ledger: SharedLedger,
    clients: Clients,
    watches: Vec<Session>,
    /// Databases on their way, by receiver, sender and the sender's start.
    transfers: BTreeMap<(u64, u64, u64), StateExport>,
    trace: Trace,
    stats: Stats,
    /// Faults are over.
    healing: bool,
    /// A write that began after the end of faults was acknowledged.
    late_acknowledged: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, seeded: varve_server::stepped::Seeded, lines: usize) -> Self {
        Self {
            plan,
            seeded,
            queue: Queue::default(),
            net: Net::new(plan.seed, SLOTS, plan.settings.weather),
            slots: (1..=SLOTS).map(Slot::new).collect(),
            ledger: Arc::new(Mutex::new(Ledger::default())),
            clients: Clients::default(),
            watches: Vec::new(),
            transfers: BTreeMap::new(),
            trace: Trace::new(lines),
            stats: Stats::one(),
            healing: false,
            late_acknowledged: false,
        }
    }

    /// Carries out the plan.
    pub(super) fn run(mut self) -> Outcome {
        let violation = self.run_to_the_end().err();
        self.stats.time = self.queue.now();
        self.stats.applied = self.ledger.lock().last();
        self.stats.revisions = self.ledger.lock().history.last().cast_unsigned();
        if let Some(violation) = &violation {
            let now = self.queue.now();
            self.trace.line(now, format_args!("-- {violation}"));
        }
        Outcome {
            violation,
            hash: self.trace.hash(),
            stats: self.stats,
            lines: self.trace.into_lines(),
        }
    }

    fn run_to_the_end(&mut self) -> Checked {
        for id in 1..=self.plan.settings.members {
            self.slots[at(id)].standing = Standing::Taken;
            self.start(id)?;
        }
        for (number, timed) in self.plan.actions.iter().enumerate() {
            if timed.time < self.plan.end {
                self.queue.at(timed.time, Event::Act(number));
            }
        }
        self.queue.at(self.plan.end, Event::End);
        while let Some(event) = self.queue.next_event() {
            self.stats.events += 1;
            if self.stats.events > MAX_EVENTS {
                return Err(Violation::new(Property::Recovery, "events without end"));
            }
            if self.happen(event)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// True: the schedule is over, and all is well.
    fn happen(&mut self, event: Event) -> Result<bool, Violation> {
        // Who stands still does what happened meanwhile later, in the same order; so does a disk.
        if let Some(id) = event.member() {
            let slot = &self.slots[at(id)];
            let mut until = slot.paused_until;
            if event.writes() {
                until = until.max(slot.disk_stalls_until);
            }
            if until > self.queue.now() {
                self.queue.at(until, event);
                return Ok(false);
            }
        }
        match event {
            Event::Tick(id, start) => {
                if self.wake(id, start) {
                    self.queue.after(TICK, Event::Tick(id, start));
                    self.settle(id)?;
                }
            }
            Event::Work(id, start, role) => {
                if self.wake(id, start)
                    && let Some(running) = &mut self.slots[at(id)].running
                {
                    running.called[position(role)] = false;
                    running.member.step(role);
                    self.settle(id)?;
                }
            }
            Event::Commit(id, start) => {
                if self.wake(id, start)
                    && let Some(running) = &self.slots[at(id)].running
                {
                    running.member.commit();
                    let interval = self.plan.settings.commit_interval + self.lateness(id);
                    self.queue.after(interval, Event::Commit(id, start));
                    self.settle(id)?;
                }
            }
            Event::Background(id, start) => self.background(id, start)?,
            Event::Leases(id, start) => {
                if self.wake(id, start)
                    && let Some(running) = &mut self.slots[at(id)].running
                {
                    running.member.keep_leases();
                    self.queue.after(LEASE_INTERVAL, Event::Leases(id, start));
                    self.settle(id)?;
                }
            }
            Event::Deliver(packet) => self.deliver(*packet)?,
            Event::Start(id) => self.start(id)?,
            Event::Act(number) => self.act(number)?,
            Event::GiveUp(number) => self.give_up(number),
            Event::Watch(number) => self.look_at_watch(number)?,
            Event::End => self.heal()?,
            Event::Look(round) => return self.look(round),
        }
        Ok(false)
    }

    fn background(&mut self, id: u64, start: u64) -> Checked {
        if !self.wake(id, start) {
            return Ok(());
        }
        let Some(running) = &self.slots[at(id)].running else {
            return Ok(());
        };
        let outcome = running.member.background();
        let interval = self.plan.settings.background_interval;
        self.queue.after(interval, Event::Background(id, start));
        if let Err(error) = outcome
            && !self.slots[at(id)].has_failed()
        {
            return Err(failure(id, error));
        }
        self.settle(id)
    }

    /// Whether this process still runs; its clock is moved to now.
    fn wake(&mut self, id: u64, start: u64) -> bool {
        let now = self.queue.now();
        let slot = &mut self.slots[at(id)];
        let current = slot.start == start;
        match &mut slot.running {
            Some(running) if current => {
                running.advance_to(now);
                true
            }
            _ => false,
        }
    }

    /// After anything a member did: takes what it sends, calls its roles to work, answers clients, and
    /// looks whether all is as it must be.
    fn settle(&mut self, id: u64) -> Checked {
        let violation = self.ledger.lock().take_violation();
        if let Some(violation) = violation
            // Of a disk without power nothing can be read.
            && !self.slots[at(id)].fs.is_crashed()
        {
            return Err(violation);
        }
        self.go_on(id);
        self.answer_clients(id)?;
        self.go_on(id);
        self.check_member(id)
    }

    fn go_on(&mut self, id: u64) {
        let Some(running) = &mut self.slots[at(id)].running else {
            return;
        };
        running.member.go_on_looking();
        let packets = std::mem::take(&mut *running.outbox.lock());
        let roles = running.idle_roles();
        for packet in packets {
            self.send(packet);
        }
        let start = self.slots[at(id)].start;
        for role in roles {
            let delay = self.delay(id, role);
            self.queue.after(delay, Event::Work(id, start, role));
        }
    }

    /// How long a role lets its work wait.
    fn delay(&mut self, id: u64, role: Role) -> u64 {
        let settings = &self.plan.settings;
        let slot = &mut self.slots[at(id)];
        slot.delays += 1;
        let (low, high) = match role {
            Role::Raft => return 0,
            Role::Wal => settings.disk_delay,
            Role::Apply => settings.apply_delay,
            Role::Snapshot => settings.snapshot_delay,
        };
        let roll = draw(self.plan.seed, DELAYS + id, slot.delays);
        let delay = low + roll % (high - low + 1);
        match role {
            Role::Wal => delay * slot.slowness,
            Role::Snapshot => delay + self.lateness(id),
            _ => delay,
        }
    }

    /// By how much longer than otherwise a slow disk lets a file wait.
    fn lateness(&self, id: u64) -> u64 {
        self.plan.settings.disk_delay.1 * (self.slots[at(id)].slowness - 1)
    }

    /// Terms and indexes do not go back, and nobody ends without a reason.
    fn check_member(&mut self, id: u64) -> Checked {
        let now = self.queue.now();
        let slot = &mut self.slots[at(id)];
        let Some(running) = &mut slot.running else {
            return Ok(());
        };
        let (old, new) = (running.status, running.member.node().status());
        running.status = new;
        let revision = running.member.store().revision();
        self.trace.note(&[
            id << 8 | u64::from(new.is_leader),
            now,
            new.term,
            new.commit,
            new.applied,
            revision.cast_unsigned(),
        ]);
        if new.term < old.term || new.commit < old.commit || new.applied < old.applied {
            let what = format!("member {id} goes back from {old:?} to {new:?}");
            return Err(Violation::new(Property::Progress, what));
        }
        if new.is_leader && !old.is_leader {
            self.stats.elections += 1;
            let term = new.term;
            self.trace
                .line(now, format_args!("{id} leads in term {term}"));
        }
        if running.member.is_alive() && !slot.fs.is_crashed() {
            return Ok(());
        }
        self.ended(id)
    }

    /// Who leads in the latest term, among those that run.
    fn leader(&self) -> Option<u64> {
        let leads = |slot: &Slot| {
            let status = slot.running.as_ref()?.member.node().status();
            status.is_leader.then_some((status.term, slot.id))
        };
        self.slots.iter().filter_map(leads).max().map(|(_, id)| id)
    }

    fn resolve(&self, who: Who) -> u64 {
        match who {
            Who::Slot(id) => id,
            Who::Leader(id) => self.leader().unwrap_or(id),
        }
    }
}

/// A server looks for leases that ran out so often.
const LEASE_INTERVAL: u64 = 500;

/// What draws are for, apart from the numbers of links.
const DELAYS: u64 = 1 << 32;
const IMAGES: u64 = 2 << 32;
const PHASES: u64 = 3 << 32;

impl Event {
    /// The member that has to be awake for it.
    fn member(&self) -> Option<u64> {
        match self {
            Event::Tick(id, _)
            | Event::Work(id, _, _)
            | Event::Commit(id, _)
            | Event::Background(id, _)
            | Event::Leases(id, _) => Some(*id),
            Event::Deliver(packet) => Some(packet.message.to),
            Event::Start(_)
            | Event::Act(_)
            | Event::GiveUp(_)
            | Event::Watch(_)
            | Event::End
            | Event::Look(_) => None,
        }
    }

    /// Whether it is a disk's work.
    fn writes(&self) -> bool {
        matches!(
            self,
            Event::Work(_, _, Role::Wal | Role::Snapshot) | Event::Commit(_, _)
        )
    }
}

/// Position of a slot in the list.
fn at(id: u64) -> usize {
    usize::try_from(id - 1).expect("slots are numbered from 1")
}

/// Position of a role in [`Role::ALL`].
fn position(role: Role) -> usize {
    Role::ALL
        .iter()
        .position(|r| *r == role)
        .expect("all roles are in it")
}

fn failure(id: u64, what: impl std::fmt::Display) -> Violation {
    Violation::new(Property::NoFailure, format!("member {id}: {what}"))
}
