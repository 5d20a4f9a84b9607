//! A place for a member: its disk, and the process that may run on it.

use varve_raftnode::{Role, Status};
use varve_server::stepped::Member;
use varve_vfs::{CrashRule, SimFs};

use super::carry::Outbox;

/// What will happen to a disk, and to the member on it when it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    /// The number of the operation.
    pub(super) op: u64,
    pub(super) rule: CrashRule,
    pub(super) down: u64,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody was ever here.
    Empty,
    /// A member, running or not.
    Taken,
    /// A member that was removed, and will not come back.
    Gone,
}

/// A process.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) member: Member,
    pub(super) outbox: Outbox,
    /// The time its clock shows.
    pub(super) clock: u64,
    /// Roles that have been called to work, in the order of [`Role::ALL`].
    pub(super) called: [bool; 4],
    /// What it last said of itself.
    pub(super) status: Status,
}

impl Running {
    /// Moves its clock to now.
    pub(super) fn advance_to(&mut self, now: u64) {
        self.member.advance(now - self.clock);
        self.clock = now;
    }

    /// Roles that have work and were not called yet.
    pub(super) fn idle_roles(&mut self) -> Vec<Role> {
        let mut roles = Vec::new();
        for (at, role) in Role::ALL.into_iter().enumerate() {
            if !self.called[at] && self.member.has_work(role) {
                self.called[at] = true;
                roles.push(role);
            }
        }
        roles
    }
}

/// A place for a member.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) fs: SimFs,
    pub(super) standing: Standing,
    /// How often somebody started here.
    pub(super) start: u64,
    pub(super) running: Option<Box<Running>>,
    pub(super) armed: Option<Armed>,
    /// The disk has little space left.
    pub(super) full: bool,
    pub(super) paused_until: u64,
    /// What is written takes so many times as long.
    pub(super) slowness: u64,
    /// Nothing is written until then.
    pub(super) disk_stalls_until: u64,
    /// Delays drawn so far.
    pub(super) delays: u64,
}

impl Slot {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            fs: SimFs::new(),
            standing: Standing::Empty,
            start: 0,
            running: None,
            armed: None,
            full: false,
            paused_until: 0,
            slowness: 1,
            disk_stalls_until: 0,
            delays: 0,
        }
    }

    /// Whether the disk did not do what it was told: the fault that was arranged has happened, or there
    /// may have been no space.
    pub(super) fn has_failed(&self) -> bool {
        let faulty = |armed: Armed| self.fs.is_crashed() || self.fs.op_count() > armed.op;
        self.full || self.armed.is_some_and(faulty)
    }
}
