//! A cluster under a plan: takes events off the queue, drives members, tells the checkers.
//!
//! # Invariants
//! 1. Nothing depends on anything but the plan: no clock, no order of a hash table, no address.
//! 2. Members reach each other by the network only, and their past by their disks only.

mod act;
mod drive;
mod heal;
mod start;

use varve_proto::raftpb::{ConfState, Message, MessageType};
use varve_raft::describe::describe_message;
use varve_raft::{SnapshotStatus, StateRole};

use super::member::{Member, Running};
use super::plan::{Plan, Who};
use super::report::{Outcome, Stats};
use super::{MEMBERS, TICK};
use crate::bugs::Bugs;
use crate::check::{Checked, Clients, Logs, Property, Violation};
use crate::net::Net;
use crate::queue::Queue;
use crate::schedule::Counted as _;
use crate::trace::Trace;

/// No schedule needs as many events: one that does goes round in circles.
const MAX_EVENTS: u64 = 200_000;

/// What can happen next.
#[derive(Debug)]
enum Event {
    Tick(u64),
    Deliver(Box<Message>),
    /// A disk has finished what it was writing, in this start of the member.
    Written(u64, u64),
    /// A state machine has applied what it was given.
    Applied(u64, u64),
    Start(u64),
    Act(usize),
    End,
    /// After the end: a look at how far the members have come.
    Look(u64),
}

/// A cluster.
#[derive(Debug)]
pub(super) struct World<'a> {
    plan: &'a Plan,
    bugs: Bugs,
    queue: Queue<Event>,
    net: Net,
    members: Vec<Member>,
    logs: Logs,
    clients: Clients,
    trace: Trace,
    stats: Stats,
    /// Faults are over.
    healing: bool,
    /// Operations from here on belong to the time after faults.
    first_late_proposal: u64,
    late_acknowledged: bool,
    /// The latest configuration that anybody applied, and the index of that.
    newest_config: (u64, ConfState),
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, bugs: Bugs, lines: usize) -> Self {
        let net = Net::new(plan.seed, MEMBERS, plan.settings.weather);
        let members = (1..=MEMBERS)
            .map(|id| Member {
                id,
                fs: varve_vfs::SimFs::new(),
                start: 0,
                running: None,
                armed: None,
                paused_until: 0,
                period: plan.settings.periods[at(id)],
                delays: 0,
            })
            .collect();
        Self {
            plan,
            bugs,
            queue: Queue::default(),
            net,
            members,
            logs: Logs::default(),
            clients: Clients::default(),
            trace: Trace::new(lines),
            stats: Stats::one(),
            healing: false,
            first_late_proposal: u64::MAX,
            late_acknowledged: false,
            newest_config: (
                0,
                ConfState {
                    voters: (1..=plan.settings.voters).collect(),
                    ..ConfState::default()
                },
            ),
        }
    }

    /// Carries out the plan.
    pub(super) fn run(mut self) -> Outcome {
        let violation = self.run_to_the_end().err();
        let [proposed, acknowledged, reads, answered] = self.clients.counts();
        self.stats.proposals = proposed;
        self.stats.acknowledged = acknowledged;
        self.stats.reads = reads;
        self.stats.answered = answered;
        self.stats.elections = self.logs.elections() as u64;
        self.stats.committed = self.logs.committed();
        self.stats.time = self.queue.now();
        Outcome {
            violation,
            hash: self.trace.hash(),
            stats: self.stats,
            lines: self.trace.into_lines(),
        }
    }

    fn run_to_the_end(&mut self) -> Checked {
        for id in 1..=MEMBERS {
            self.create(id)?;
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
        // Who stands still does what happened meanwhile later, in the same order.
        if let Some(id) = event.member() {
            let until = self.members[at(id)].paused_until;
            if until > self.queue.now() {
                self.queue.at(until, event);
                return Ok(false);
            }
        }
        let now = self.queue.now();
        match event {
            Event::Tick(id) => self.tick(id)?,
            Event::Deliver(message) => self.deliver(*message)?,
            Event::Written(id, start) => {
                self.trace.note(&[1, now, id]);
                if self.is_current(id, start) {
                    self.written(id)?;
                    self.settle(id)?;
                }
            }
            Event::Applied(id, start) => {
                self.trace.note(&[2, now, id]);
                if self.is_current(id, start) {
                    self.applied(id)?;
                    self.settle(id)?;
                }
            }
            Event::Start(id) => self.restart(id)?,
            Event::Act(number) => self.act(number)?,
            Event::End => self.heal()?,
            Event::Look(round) => return self.look(round),
        }
        Ok(false)
    }

    fn is_current(&self, id: u64, start: u64) -> bool {
        let member = &self.members[at(id)];
        member.start == start && member.running.is_some()
    }

    fn running(&mut self, id: u64) -> Option<&mut Running> {
        self.members[at(id)].running.as_deref_mut()
    }

    fn tick(&mut self, id: u64) -> Checked {
        let period = self.members[at(id)].period;
        self.queue.after(period, Event::Tick(id));
        // Once all is over, members that were removed are switched off.
        if self.healing && !is_member(&self.newest_config.1, id) {
            return Ok(());
        }
        self.trace.note(&[3, self.queue.now(), id]);
        if let Some(running) = self.running(id) {
            running.raw.tick();
        }
        self.settle(id)
    }

    fn deliver(&mut self, message: Message) -> Checked {
        let (from, to) = (message.from, message.to);
        let now = self.queue.now();
        self.trace.note(&[
            4,
            now,
            from << 8 | to,
            u64::from(message.r#type.cast_unsigned()),
            message.term,
            message.index,
            message.entries.len() as u64,
            message.commit << 1 | u64::from(message.reject),
        ]);
        let arrives = self.net.arrive(from, to) && self.members[at(to)].running.is_some();
        if self.trace.is_recording() {
            let lost = if arrives { "" } else { "(lost) " };
            let text = describe_message(&message, &|data: &[u8]| format!("{} bytes", data.len()));
            self.trace.line(now, format_args!("{lost}{text}"));
        }
        if message.r#type() == MessageType::MsgSnap {
            self.report_snapshot(&message, arrives)?;
        }
        if !arrives {
            return Ok(());
        }
        self.stats.delivered += 1;
        if let Some(running) = self.running(to)
            && let Err(error) = running.raw.step(message)
            && error.is_fatal()
        {
            return Err(failure(to, &error));
        }
        self.settle(to)
    }

    /// As every transport must: a leader sends nothing else to the receiver until then.
    fn report_snapshot(&mut self, message: &Message, arrived: bool) -> Checked {
        let status = if arrived {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.stats.snapshots_sent += 1;
        if let Some(sender) = self.running(message.from) {
            sender.raw.report_snapshot(message.to, status);
        }
        self.settle(message.from)
    }

    fn send(&mut self, message: Message) {
        let (from, to) = (message.from, message.to);
        let fate = self.net.send(from, to);
        if let Some(delay) = fate.second {
            self.queue
                .after(delay, Event::Deliver(Box::new(message.clone())));
        }
        match fate.first {
            Some(delay) => self.queue.after(delay, Event::Deliver(Box::new(message))),
            None => self.lost(&message),
        }
    }

    /// A message is gone, and with some of them the sender is told: streams break, pipes do not.
    fn lost(&mut self, message: &Message) {
        let (from, to) = (message.from, message.to);
        let is_snapshot = message.r#type() == MessageType::MsgSnap;
        if let Some(sender) = self.running(from) {
            if is_snapshot {
                sender.raw.report_snapshot(to, SnapshotStatus::Failure);
            } else if message.index & 1 == 1 {
                sender.raw.report_unreachable(to);
            }
        }
    }

    /// Who leads in the latest term, among those that run.
    fn leader(&self) -> Option<u64> {
        let leads = |member: &Member| {
            let status = member.running.as_ref()?.raw.basic_status();
            (status.role == StateRole::Leader).then_some((status.term, member.id))
        };
        self.members
            .iter()
            .filter_map(leads)
            .max()
            .map(|(_, id)| id)
    }

    fn resolve(&self, who: Who) -> u64 {
        match who {
            Who::Member(id) => id,
            Who::Leader(id) => self.leader().unwrap_or(id),
        }
    }
}

impl Event {
    /// The member that has to be awake for it.
    fn member(&self) -> Option<u64> {
        match self {
            Event::Tick(id) | Event::Written(id, _) | Event::Applied(id, _) => Some(*id),
            Event::Deliver(message) => Some(message.to),
            Event::Start(_) | Event::Act(_) | Event::End | Event::Look(_) => None,
        }
    }
}

fn is_member(conf_state: &ConfState, id: u64) -> bool {
    [
        &conf_state.voters,
        &conf_state.voters_outgoing,
        &conf_state.learners,
    ]
    .iter()
    .any(|ids| ids.contains(&id))
}

/// Position of a member in the list.
fn at(id: u64) -> usize {
    usize::try_from(id - 1).expect("members are numbered from 1")
}

fn failure(id: u64, what: impl std::fmt::Display) -> Violation {
    Violation::new(Property::NoFailure, format!("member {id}: {what}"))
}

/// `ticks` of a right clock, in units of time.
fn ticks(ticks: u64) -> u64 {
    ticks * TICK
}
