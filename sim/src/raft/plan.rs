//! What happens to a cluster, and when: drawn from a seed, printed, and made shorter when it fails.

mod draw;

use std::fmt;

use varve_vfs::CrashRule;

use super::settings::Settings;

/// What the disk under a member holds its log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One checksummed journal on the simulated disk: what a log must do, and no more. Fast.
    Lean,
    /// The server's write-ahead log and snapshot files on the simulated disk.
    Wal,
}

/// Whom an action concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This member.
    Member(u64),
    /// Whoever then leads in the latest term, or this member if nobody does.
    Leader(u64),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Member(id) => write!(f, "{id}"),
            Who::Leader(id) => write!(f, "the leader (or {id})"),
        }
    }
}

/// Something that happens.
#[expect(
    missing_docs,
    reason = "each variant's documentation speaks of its fields"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Clients propose `count` entries of about `size` bytes, in one batch.
    Propose { at: Who, count: u64, size: u64 },
    /// A client reads.
    Read { at: Who },
    /// A member campaigns without waiting for its timeout.
    Campaign { at: Who },
    /// Leadership is to go to this member.
    Transfer { at: Who, to: u64 },
    /// A member forgets its leader.
    Forget { at: Who },
    /// Members are to change, in the short notation of `parse_conf_changes`; `old` for a change of the
    /// older kind, `explicit` for a joint configuration that stays.
    Change {
        at: Who,
        change: String,
        old: bool,
        explicit: bool,
    },
    /// A member makes a snapshot and keeps this many entries before it.
    Compact { at: Who, keep: u64 },
    /// A member's machine loses power, after `ops` more operations on its disk if that is not 0, and is
    /// back after `down`. Without a rule only its process ends.
    Crash {
        at: Who,
        ops: u64,
        rule: Option<CrashRule>,
        down: u64,
    },
    /// The `ops`-th operation from now on a member's disk fails, and the member starts anew.
    FailDisk { at: Who, ops: u64, down: u64 },
    /// The members of this bit set, lowest bit for member 1, are cut off from the others.
    Partition { side: u64 },
    /// One member hears nobody, or nobody hears it, or both.
    Isolate { at: Who, deaf: bool, mute: bool },
    /// One direction of a link is cut.
    Cut { from: u64, to: u64 },
    /// The network is whole again.
    Mend,
    /// A member stands still.
    Pause { at: Who, ticks: u64 },
    /// A member's clock runs at another pace from now on.
    Skew { at: Who, period: u64 },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Propose { at, count, size } => {
                write!(f, "{at} proposes {count} entries of {size} bytes")
            }
            Action::Read { at } => write!(f, "{at} reads"),
            Action::Campaign { at } => write!(f, "{at} campaigns"),
            Action::Transfer { at, to } => write!(f, "{at} transfers leadership to {to}"),
            Action::Forget { at } => write!(f, "{at} forgets its leader"),
            Action::Change {
                at,
                change,
                old,
                explicit,
            } => {
                let kind = match (old, explicit) {
                    (true, _) => " (old kind)",
                    (false, true) => " (explicit)",
                    (false, false) => "",
                };
                write!(f, "{at} proposes the change '{change}'{kind}")
            }
            Action::Compact { at, keep } => write!(f, "{at} compacts, keeping {keep}"),
            Action::Crash {
                at,
                ops,
                rule,
                down,
            } => write!(
                f,
                "{at} crashes after {ops} disk operations ({rule:?}), back after {down}"
            ),
            Action::FailDisk { at, ops, down } => {
                write!(f, "{at} fails at disk operation {ops}, back after {down}")
            }
            Action::Partition { side } => write!(f, "partition {side:05b}"),
            Action::Isolate { at, deaf, mute } => {
                write!(f, "{at} is isolated (deaf: {deaf}, mute: {mute})")
            }
            Action::Cut { from, to } => write!(f, "{from} does not reach {to}"),
            Action::Mend => f.write_str("the network is mended"),
            Action::Pause { at, ticks } => write!(f, "{at} stands still for {ticks} ticks"),
            Action::Skew { at, period } => write!(f, "{at} ticks every {period}"),
        }
    }
}

/// An action and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When.
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
    /// What holds the logs.
    pub store: StoreKind,
    /// What happens, by time.
    pub actions: Vec<Timed>,
    /// When faults end and the cluster has to agree.
    pub end: u64,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, log in {:?}", self.seed, self.store)?;
        writeln!(f, "{}", self.settings)?;
        for Timed { time, action } in &self.actions {
            writeln!(f, "{time:>7} {action}")?;
        }
        write!(f, "{:>7} faults end", self.end)
    }
}
