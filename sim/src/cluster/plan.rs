//! What happens to a cluster, and when: drawn from a seed, printed, and made shorter when it fails.

mod draw;

use std::fmt;

use varve_vfs::{CrashRule, Fault};

use super::settings::Settings;

/// Whom an action concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The member in this slot.
    Slot(u64),
    /// Whoever then leads in the latest term, or this slot's if nobody does.
    Leader(u64),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Slot(id) => write!(f, "{id}"),
            Who::Leader(id) => write!(f, "the leader (or {id})"),
        }
    }
}

/// What a client does. Keys are numbered; `all` means every key.
#[expect(
    missing_docs,
    reason = "each variant's documentation speaks of its fields"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Stores a new value.
    Put { key: u64 },
    /// Removes a key, or all.
    Delete { key: u64, all: bool },
    /// Reads a key, or all; as of some revisions ago if `back` is not 0.
    Read {
        key: u64,
        all: bool,
        serializable: bool,
        back: i64,
    },
    /// Changes a key if it is as the clients last saw it: with `wrong`, if it is as it never was.
    Swap { key: u64, wrong: bool },
    /// Stores two keys and removes a third in one transaction, if the first is as last seen.
    Several { keys: [u64; 3] },
    /// Compacts, leaving so many revisions.
    Compact { keep: i64 },
    /// Takes a lease of so many seconds and hangs a key on it.
    Grant { ttl: i64 },
    /// Renews one of the leases.
    KeepAlive { lease: u64 },
    /// Gives one of the leases up.
    Revoke { lease: u64 },
}

/// Something that happens.
#[expect(
    missing_docs,
    reason = "each variant's documentation speaks of its fields"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client asks a member.
    Client { at: Who, op: Op },
    /// A client begins to watch a key, or all, and goes on wherever it can.
    Watch {
        at: Who,
        key: u64,
        all: bool,
        previous: bool,
        from_start: bool,
    },
    /// A watching client turns to another member.
    MoveWatch { watch: u64, to: u64 },
    /// Leadership is to go to this member.
    MoveLeader { at: Who, to: u64 },
    /// The next empty slot is to join as a learner.
    Join { at: Who },
    /// A learner is to vote.
    Promote { at: Who },
    /// A member is to leave for good.
    Leave { at: Who, who: Who },
    /// A member's process ends.
    Kill { at: Who, down: u64 },
    /// A member is told to end, and ends in order.
    Stop { at: Who, down: u64 },
    /// A member's disk has so many bytes left.
    FillDisk { at: Who, spare: u64 },
    /// A member's machine loses power, after `ops` more operations on its disk if that is not 0.
    Crash {
        at: Who,
        ops: u64,
        rule: CrashRule,
        down: u64,
    },
    /// The `ops`-th operation from now on a member's disk meets a fault.
    FailDisk {
        at: Who,
        ops: u64,
        fault: Fault,
        down: u64,
    },
    /// The members of this bit set, lowest bit for slot 1, are cut off from the others.
    Partition { side: u64 },
    /// One member hears nobody, or nobody hears it, or both.
    Isolate { at: Who, deaf: bool, mute: bool },
    /// One direction of a link is cut.
    Cut { from: u64, to: u64 },
    /// The network is whole again.
    Mend,
    /// A member stands still.
    Pause { at: Who, time: u64 },
    /// What a member writes takes so many times as long from now on.
    SlowDisk { at: Who, times: u64 },
    /// A member's disk takes nothing for some time, while the member goes on.
    StallDisk { at: Who, time: u64 },
    /// The leader agrees with the others on a version.
    Version { at: Who },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Client { at, op } => write!(f, "client at {at}: {op:?}"),
            Action::Watch {
                at,
                key,
                all,
                previous,
                from_start,
            } => write!(
                f,
                "watch at {at}: key {key}, all {all}, previous {previous}, from the start {from_start}"
            ),
            Action::MoveWatch { watch, to } => write!(f, "watch {watch} turns to {to}"),
            Action::MoveLeader { at, to } => write!(f, "{at} moves leadership to {to}"),
            Action::Join { at } => write!(f, "{at} adds a learner"),
            Action::Promote { at } => write!(f, "{at} promotes a learner"),
            Action::Leave { at, who } => write!(f, "{at} removes {who}"),
            Action::Kill { at, down } => write!(f, "{at} is killed, back after {down}"),
            Action::Stop { at, down } => write!(f, "{at} is told to end, back after {down}"),
            Action::FillDisk { at, spare } => write!(f, "{at} has {spare} bytes of disk left"),
            Action::Crash {
                at,
                ops,
                rule,
                down,
            } => write!(
                f,
                "{at} crashes after {ops} disk operations ({rule:?}), back after {down}"
            ),
            Action::FailDisk {
                at,
                ops,
                fault,
                down,
            } => write!(
                f,
                "{at} meets {fault:?} at disk operation {ops}, back after {down}"
            ),
            Action::Partition { side } => write!(f, "partition {side:08b}"),
            Action::Isolate { at, deaf, mute } => {
                write!(f, "{at} is isolated (deaf: {deaf}, mute: {mute})")
            }
            Action::Cut { from, to } => write!(f, "{from} does not reach {to}"),
            Action::Mend => f.write_str("the network is mended"),
            Action::Pause { at, time } => write!(f, "{at} stands still for {time}"),
            Action::SlowDisk { at, times } => write!(f, "{at} writes {times} times as slowly"),
            Action::StallDisk { at, time } => write!(f, "{at} can write nothing for {time}"),
            Action::Version { at } => write!(f, "{at} sets the cluster version"),
        }
    }
}

/// An action and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When, in milliseconds.
    pub time: u64,
    /// What.
    pub action: Action,
}

/// A whole schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it was drawn from; also where the delays of messages and disks come from.
    pub seed: u64,
    /// The cluster.
    pub settings: Settings,
    /// What happens, by time.
    pub actions: Vec<Timed>,
    /// When faults end and the cluster has to agree.
    pub end: u64,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "{}", self.settings)?;
        for Timed { time, action } in &self.actions {
            writeln!(f, "{time:>7} {action}")?;
        }
        write!(f, "{:>7} faults end", self.end)
    }
}
