//! How a cluster is set up, drawn from a seed.

use std::fmt;

use varve_server::CompatVersion;
use varve_server::stepped::Numbers;

use super::TICK;
use crate::net::Weather;
use crate::rng::Rng;

/// What all members of a cluster share, and what surrounds them. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Members of the first configuration: slots 1 up to this.
    pub members: u64,
    /// Sizes and times of the servers.
    pub numbers: Numbers,
    /// How messages fare until faults end.
    pub weather: Weather,
    /// Shortest and longest time a log write takes.
    pub disk_delay: (u64, u64),
    /// Shortest and longest time until the state machine gets to work.
    pub apply_delay: (u64, u64),
    /// Shortest and longest time until the snapshot thread does.
    pub snapshot_delay: (u64, u64),
    /// Time between backend commits.
    pub commit_interval: u64,
    /// Time between steps of compactions and of catching up.
    pub background_interval: u64,
    /// How long clients wait.
    pub patience: u64,
    /// Whether clients compact, and watches cannot ask for the pairs before.
    pub compacts: bool,
    /// Slots whose members stand in for etcd 3.5, lowest bit for slot 1: a cluster of some of these is one
    /// that is being upgraded.
    pub old: u64,
}

impl Settings {
    /// Draws settings.
    pub fn draw(rng: &mut Rng) -> Self {
        let stray_delay = rng.pick(&[TICK, 5 * TICK, 20 * TICK]);
        Self {
            members: if rng.chance(300) { 5 } else { 3 },
            numbers: Numbers {
                tick_ms: TICK,
                election_ticks: rng.pick(&[5, 10]),
                snapshot_count: rng.pick(&[8, 15, 30, 100]),
                catch_up_entries: rng.pick(&[0, 2, 5, 20]),
                log_bytes: rng.pick(&[300, 4000, 1 << 20]),
                segment_bytes: rng.pick(&[2 << 10, 4 << 10, 16 << 10]),
                page_size: rng.pick(&[512, 1024, 4096]),
                batch_limit: rng.pick(&[4, 20, 10_000]),
                compaction_batch: rng.pick(&[1, 4, 1000]),
                watch_queue_bytes: rng.pick(&[200, 1000, 1 << 20]),
                checkpoint_interval_ms: 300_000,
                files_kept: rng.pick(&[1, 2, 5]),
                compat: CompatVersion::V36,
            },
            weather: Weather {
                delay: (1, rng.pick(&[2, 10, 40])),
                loss: rng.pick(&[0, 0, 10, 50, 200]),
                duplicate: rng.pick(&[0, 10, 50]),
                stray: rng.pick(&[0, 10, 50]),
                stray_delay,
            },
            disk_delay: (1, rng.pick(&[2, 10, 50])),
            apply_delay: (0, rng.pick(&[1, 5, 50])),
            snapshot_delay: (1, rng.pick(&[5, 50, 300])),
            commit_interval: rng.pick(&[20, 100, 100, 500]),
            background_interval: rng.pick(&[10, 50]),
            patience: rng.pick(&[500, 2000]),
            compacts: rng.chance(700),
            old: match rng.below(10) {
                0 | 1 => u64::MAX,
                2 | 3 => rng.draw(),
                _ => 0,
            },
        }
    }

    /// The numbers of the server in a slot.
    pub(super) fn numbers_of(&self, id: u64) -> Numbers {
        let compat = if self.old >> (id - 1) & 1 == 1 {
            CompatVersion::V35
        } else {
            CompatVersion::V36
        };
        Numbers {
            compat,
            ..self.numbers
        }
    }

    /// The version that all members can agree on.
    pub(super) fn version(&self) -> &'static str {
        if self.old == 0 { "3.6.0" } else { "3.5.0" }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            members,
            numbers,
            weather,
            disk_delay,
            apply_delay,
            snapshot_delay,
            commit_interval,
            background_interval,
            patience,
            compacts: _,
            old,
        } = self;
        writeln!(f, "{members} members, {numbers:?}")?;
        writeln!(f, "{weather:?}")?;
        write!(
            f,
            "log writes {disk_delay:?}, applies {apply_delay:?}, snapshots {snapshot_delay:?}, commits \
             every {commit_interval}, background every {background_interval}, clients wait {patience}, of etcd 3.5 {:08b}",
            old & 255
        )
    }
}
