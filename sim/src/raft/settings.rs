//! How a cluster is set up, drawn from a seed.

use std::fmt;

use varve_raft::{Config, SeededJitter};

use super::{MEMBERS, TICK};
use crate::bugs::Bugs;
use crate::net::Weather;
use crate::rng::{Rng, draw};

/// How a member's driver writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By `Ready` and `advance`.
    Synchronous,
    /// By messages to storage threads.
    Asynchronous,
}

/// The settings all members of a cluster share, and what surrounds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Voters of the first configuration: members 1 up to this.
    pub voters: u64,
    /// How drivers write.
    pub mode: Mode,
    /// Ticks of an election timeout.
    pub election_tick: usize,
    /// Limits on messages and on what is handed out; 0 as in [`Config`].
    pub max_size_per_msg: u64,
    /// See [`Config`].
    pub max_committed_size: u64,
    /// See [`Config`].
    pub max_uncommitted_size: u64,
    /// See [`Config`].
    pub max_inflight: usize,
    /// See [`Config`].
    pub pre_vote: bool,
    /// See [`Config`].
    pub check_quorum: bool,
    /// See [`Config`].
    pub step_down_on_removal: bool,
    /// See [`Config`].
    pub disable_forwarding: bool,
    /// Units of time per tick, for each member's clock.
    pub periods: [u64; 5],
    /// How messages fare until the end.
    pub weather: Weather,
    /// Shortest and longest time a write to disk takes.
    pub disk_delay: (u64, u64),
    /// Shortest and longest time it takes to apply entries.
    pub apply_delay: (u64, u64),
}

impl Settings {
    /// Draws settings.
    pub fn draw(rng: &mut Rng) -> Self {
        let weather = Weather {
            delay: (rng.between(1, 10), rng.pick(&[15, 40, 80, 200])),
            loss: rng.pick(&[0, 0, 10, 60, 150]),
            duplicate: rng.pick(&[0, 20, 80]),
            stray: rng.pick(&[0, 20, 60]),
            stray_delay: rng.pick(&[500, 2000]),
        };
        Self {
            voters: rng.pick(&[3, 3, 5, 5, 5, 2, 4]),
            mode: rng.pick(&[Mode::Asynchronous, Mode::Asynchronous, Mode::Synchronous]),
            election_tick: rng.pick(&[4, 5, 6, 10]),
            max_size_per_msg: rng.pick(&[0, 0, 120, 4096]),
            max_committed_size: rng.pick(&[0, 60, 400]),
            max_uncommitted_size: rng.pick(&[0, 0, 0, 200]),
            max_inflight: rng.pick(&[1, 2, 4, 64]),
            pre_vote: rng.chance(400),
            check_quorum: rng.chance(500),
            step_down_on_removal: rng.chance(500),
            disable_forwarding: rng.chance(150),
            periods: std::array::from_fn(|_| rng.between(TICK * 7 / 10, TICK * 14 / 10)),
            weather,
            disk_delay: (rng.between(1, 20), rng.pick(&[20, 60, 150, 300])),
            apply_delay: (1, rng.pick(&[5, 50, 300])),
        }
    }

    /// The core's settings for one start of a member.
    pub fn config(&self, id: u64, seed: u64, start: u64, bugs: Bugs) -> Config {
        debug_assert!(id <= MEMBERS, "members are numbered");
        let config = Config {
            election_tick: self.election_tick,
            async_storage_writes: self.mode == Mode::Asynchronous,
            max_size_per_msg: self.max_size_per_msg,
            max_committed_size_per_ready: self.max_committed_size,
            max_uncommitted_entries_size: self.max_uncommitted_size,
            max_inflight_msgs: self.max_inflight,
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            step_down_on_removal: self.step_down_on_removal,
            disable_proposal_forwarding: self.disable_forwarding,
            jitter: Box::new(SeededJitter::new(draw(seed, id, start))),
            ..Config::new(id)
        };
        bugs.put_into(config)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
