//! A whole member in one thread, moved step by step: for tests and for the simulator.
//!
//! Runs the same code as the threads of a [`Node`], on a clock that stands still until it is moved. The
//! caller chooses which role works next, so that every order in which threads could get on is reachable,
//! and equal choices give equal runs: a log write can be held back while messages go on, a snapshot can be
//! in the middle of being saved when the power fails.
//!
//! # Not here
//! The scheduler, the network, the disk: they are the caller's (crate `sim`, `tests/it/cluster.rs`).
use std::sync::Arc;
use std::time::Duration;

use varve_proto::raftpb::{ConfChangeV2, ConfState};

use crate::bootstrap::Bootstrapped;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::error::Result;
use crate::event::Event;
use crate::mailbox::Mailbox;
use crate::node::{Node, NodeConfig};
use crate::roles::Roles;
use crate::state_machine::{Fatal, Observer, Reconfigure, StateMachine, Transport};
use crate::threads::Turn;

/// The four parts of a member that a [`Node`] runs in threads of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The consensus core.
    Raft,
    /// Log writes.
    Wal,
    /// The state machine.
    Apply,
    /// Raft snapshots.
    Snapshot,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Raft, Self::Wal, Self::Apply, Self::Snapshot];
}

/// A member that moves only when it is told to. Dropping it is what `kill -9` is to a process.
pub struct Stepper {
    node: Node,
    clock: Arc<Clock>,
    /// `None` once the member has ended.
    roles: Option<Roles>,
    quiet_bytes: usize,
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper")
            .field("node", &self.node)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Stepper {
    /// A member at time zero, whose disk state was opened or made as for [`Node::start`].
    pub fn new(
        boot: Bootstrapped,
        config: &NodeConfig,
        state_machine: Box<dyn StateMachine>,
        transport: Arc<dyn Transport>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let clock = Clock::stepped();
        let roles = Roles::new(boot, config, state_machine, transport, observer, clock)?;
        let mut stepper = Self {
            node: Node::over(&roles),
            clock: Arc::clone(&roles.raft.clock),
            roles: Some(roles),
            quiet_bytes: 0,
        };
        stepper.raft(|roles| roles.raft.begin().map(|()| Turn::Continue));
        Ok(stepper)
    }

    /// The handle that the member's users have. [`Node::stop`] returns at once here: the member ends at
    /// the next step of [`Role::Raft`].
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether the member has not ended: by a stop, a failure, or its removal from the cluster.
    pub fn is_alive(&self) -> bool {
        self.roles.is_some()
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Lets time pass. The next step of [`Role::Raft`] takes a tick if one is due; however much time
    /// passed, it takes one, as a thread that was not run would.
    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
    }

    /// Whether a role has something to do now.
    pub fn has_work(&self, role: Role) -> bool {
        let Some(roles) = &self.roles else {
            return false;
        };
        let waiting = |(inside, _)| inside > 0;
        match role {
            Role::Raft => {
                let raft = &roles.raft;
                let (inside, outside) = raft.events.waiting();
                inside > 0
                    || (outside > 0 && raft.driver.has_leader())
                    || !raft.driver.is_idle()
                    || self.clock.now() >= raft.wakes_at()
            }
            Role::Wal => waiting(roles.wal.jobs.waiting()),
            Role::Apply => waiting(roles.apply.jobs.waiting()),
            Role::Snapshot => waiting(roles.snapshot.jobs.waiting()),
        }
    }

    /// Has one role do what waits for it: one turn, one batch. Of no effect where nothing waits.
    pub fn step(&mut self, role: Role) {
        match role {
            Role::Raft => self.raft(|roles| roles.raft.take_turn(true, false)),
            Role::Wal => self.other(|roles, _| {
                let jobs = taken(&roles.wal.jobs);
                if jobs.is_empty() {
                    return Ok(());
                }
                roles.wal.work_off(jobs)
            }),
            Role::Apply => self.other(|roles, quiet_bytes| {
                let mut jobs = taken(&roles.apply.jobs);
                if jobs.is_empty() {
                    return Ok(());
                }
                let mut direct = Direct {
                    driver: &mut roles.raft.driver,
                };
                roles.apply.work_off(&mut jobs, &mut direct, quiet_bytes)
            }),
            Role::Snapshot => self.other(|roles, _| {
                let mut jobs = taken(&roles.snapshot.jobs);
                roles.snapshot.work_off(&mut jobs)
            }),
        }
    }

    /// Runs the raft role, and ends the member when it says so.
    fn raft(&mut self, turn: impl FnOnce(&mut Roles) -> std::result::Result<Turn, Fatal>) {
        let Some(mut roles) = self.roles.take() else {
            return;
        };
        match turn(&mut roles) {
            Ok(Turn::Continue) => self.roles = Some(roles),
            Ok(Turn::Stop) => roles.raft.end(Ok(())),
            Err(error) => roles.raft.end(Err(error)),
        }
    }

    /// Runs another role; like its thread it leaves a failure to the raft role.
    fn other(
        &mut self,
        work: impl FnOnce(&mut Roles, &mut usize) -> std::result::Result<(), Fatal>,
    ) {
        let Some(roles) = &mut self.roles else {
            return;
        };
        if let Err(error) = work(roles, &mut self.quiet_bytes) {
            roles.raft.events.push(Event::Failed(error));
        }
    }
}

fn taken<T>(jobs: &Mailbox<T>) -> Vec<T> {
    let (mut inside, mut none) = (Vec::new(), Vec::new());
    jobs.take(&mut inside, &mut none, false);
    inside
}

/// Changes the configuration without asking another thread.
struct Direct<'a> {
    driver: &'a mut Driver,
}

impl Reconfigure for Direct<'_> {
    fn apply_conf_change(
        &mut self,
        index: u64,
        change: ConfChangeV2,
    ) -> std::result::Result<ConfState, Fatal> {
        self.driver
            .apply_conf_change(index, &change)
            .ok_or_else(|| "the conf change cannot be carried out".into())
    }
}
