//! Drawing plans.
//!
//! Even odds for everything would spend most schedules on nothing in particular. A schedule has a
//! flavour, which says what it is mostly about.

use varve_vfs::CrashRule;

use super::{Action, Plan, StoreKind, Timed, Who};
use crate::raft::settings::Settings;
use crate::raft::{MEMBERS, TICK};
use crate::rng::Rng;

/// What a schedule is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    /// A bit of everything.
    Mixed,
    /// Leaders that are lost soon after they were elected.
    Elections,
    /// Members that come and go.
    Members,
    /// Power that fails.
    Crashes,
    /// Snapshots instead of logs.
    Snapshots,
    /// Reads while the network is divided.
    Reads,
}

/// How likely each kind of action is, in the order of the arms of `action`.
fn weights(flavour: Flavour) -> [u64; 14] {
    //   prop read camp xfer forg chng comp crsh fail part isol cut  paus skew
    match flavour {
        Flavour::Mixed => [4, 3, 3, 3, 1, 8, 6, 8, 2, 4, 5, 4, 3, 2],
        Flavour::Elections => [4, 0, 14, 4, 2, 0, 1, 22, 1, 5, 10, 4, 2, 1],
        Flavour::Members => [4, 1, 3, 5, 1, 34, 8, 8, 1, 3, 3, 2, 1, 1],
        Flavour::Crashes => [4, 1, 6, 1, 1, 2, 6, 30, 6, 2, 3, 2, 1, 1],
        Flavour::Snapshots => [4, 1, 2, 2, 1, 8, 26, 8, 1, 4, 6, 2, 2, 1],
        Flavour::Reads => [2, 12, 4, 4, 2, 4, 2, 3, 1, 9, 10, 5, 4, 2],
    }
}

impl Plan {
    /// The plan of a seed. `store` is what holds the logs; without it one plan in eight uses the real
    /// write-ahead log.
    pub fn draw(seed: u64, store: Option<StoreKind>) -> Self {
        let mut rng = Rng::new(seed);
        let mut settings = Settings::draw(&mut rng);
        let drawn = rng.pick(&[StoreKind::Wal, StoreKind::Lean]);
        let drawn = if rng.chance(250) {
            drawn
        } else {
            StoreKind::Lean
        };
        let flavour = rng.pick(&[
            Flavour::Mixed,
            Flavour::Mixed,
            Flavour::Elections,
            Flavour::Members,
            Flavour::Crashes,
            Flavour::Snapshots,
            Flavour::Reads,
        ]);
        if flavour == Flavour::Elections && rng.chance(600) {
            // What makes figure 8 of the paper: entries that travel one by one.
            settings.max_size_per_msg = 0;
            settings.check_quorum = false;
        }
        let end = TICK * rng.between(40, 120);
        let mut actions = Vec::new();
        // The first leader is not left to chance: nothing happens without one.
        let first = rng.between(1, settings.voters);
        let campaign = Action::Campaign {
            at: Who::Member(first),
        };
        actions.push(Timed {
            time: TICK,
            action: campaign,
        });
        let pace = rng.pick(&[TICK, TICK * 2, TICK * 4, TICK * 8]);
        let mut time = 3 * TICK;
        while time < end {
            time += rng.below(2 * pace);
            draw_action(&mut rng, flavour, time, &mut actions);
        }
        draw_clients(&mut rng, flavour, end, &mut actions);
        actions.sort_by_key(|timed| timed.time);
        Self {
            seed,
            settings,
            store: store.unwrap_or(drawn),
            actions,
            end,
        }
    }
}

fn who(rng: &mut Rng) -> Who {
    let member = rng.between(1, MEMBERS);
    if rng.chance(450) {
        Who::Leader(member)
    } else {
        Who::Member(member)
    }
}

/// Clients go on whatever happens.
fn draw_clients(rng: &mut Rng, flavour: Flavour, end: u64, into: &mut Vec<Timed>) {
    let pace = rng.pick(&[TICK / 2, TICK, TICK * 3]);
    let reads = if flavour == Flavour::Reads { 550 } else { 150 };
    let mut time = 2 * TICK;
    while time < end {
        time += rng.below(2 * pace);
        // Where a leader is, most of the time: what others are asked is often dropped.
        let member = rng.between(1, MEMBERS);
        let at = if rng.chance(750) {
            Who::Leader(member)
        } else {
            Who::Member(member)
        };
        let action = if rng.chance(reads) {
            Action::Read { at }
        } else {
            let (count, size) = (rng.pick(&[1, 1, 2, 4]), rng.pick(&[8, 16, 60]));
            Action::Propose { at, count, size }
        };
        into.push(Timed { time, action });
    }
}

fn draw_action(rng: &mut Rng, flavour: Flavour, time: u64, into: &mut Vec<Timed>) {
    let weights = weights(flavour);
    let mut roll = rng.below(weights.iter().sum());
    let mut kind = 0;
    for (at, weight) in weights.iter().enumerate() {
        if roll < *weight {
            kind = at;
            break;
        }
        roll -= weight;
    }
    let mut push = |time, action| into.push(Timed { time, action });
    let at = who(rng);
    match kind {
        0 => {
            let (count, size) = (rng.between(1, 8), rng.pick(&[8, 16, 60]));
            push(time, Action::Propose { at, count, size });
        }
        1 => push(time, Action::Read { at }),
        2 => {
            let rival = Who::Member(rng.between(1, MEMBERS));
            push(time, Action::Campaign { at });
            if rng.chance(500) {
                push(time + rng.below(40), Action::Campaign { at: rival });
            }
        }
        3 => {
            let to = rng.between(1, MEMBERS);
            push(time, Action::Transfer { at, to });
        }
        4 => push(time, Action::Forget { at }),
        5 => push(time, draw_change(rng)),
        6 => {
            let keep = rng.pick(&[0, 0, 1, 4]);
            push(time, Action::Compact { at, keep });
        }
        7 => {
            let rule = rng.pick(&CrashRule::ALL);
            let rule = (!rng.chance(250)).then_some(rule);
            let ops = rng.pick(&[0, 0, 1, 2, 4]);
            let down = rng.pick(&[10, 60, TICK * 2, TICK * 10]);
            push(
                time,
                Action::Crash {
                    at,
                    ops,
                    rule,
                    down,
                },
            );
            if flavour == Flavour::Crashes && rng.chance(250) {
                // The whole room goes dark.
                for id in 1..=MEMBERS {
                    let at = Who::Member(id);
                    push(
                        time + rng.below(30),
                        Action::Crash {
                            at,
                            ops: 0,
                            rule,
                            down,
                        },
                    );
                }
            }
        }
        8 => {
            let (ops, down) = (rng.below(6), rng.pick(&[10, TICK * 2]));
            push(time, Action::FailDisk { at, ops, down });
        }
        9 => {
            push(
                time,
                Action::Partition {
                    side: rng.between(1, (1 << MEMBERS) - 2),
                },
            );
            push(time + TICK * rng.between(2, 20), Action::Mend);
        }
        10 => {
            let (deaf, mute) =
                rng.pick(&[(true, true), (true, true), (true, false), (false, true)]);
            push(time, Action::Isolate { at, deaf, mute });
            push(time + TICK * rng.between(2, 20), Action::Mend);
        }
        11 => {
            let (from, to) = (rng.between(1, MEMBERS), rng.between(1, MEMBERS));
            push(time, Action::Cut { from, to });
            push(time + TICK * rng.between(2, 20), Action::Mend);
        }
        12 => {
            let ticks = rng.between(1, 12);
            push(time, Action::Pause { at, ticks });
        }
        _ => {
            let period = rng.pick(&[TICK / 3, TICK / 2, TICK, TICK * 2, TICK * 3]);
            push(time, Action::Skew { at, period });
        }
    }
}

fn draw_change(rng: &mut Rng) -> Action {
    let at = Who::Leader(rng.between(1, MEMBERS));
    let (a, b) = (rng.between(1, MEMBERS), rng.between(1, MEMBERS));
    let old = rng.chance(300);
    let change = match rng.below(if old { 3 } else { 7 }) {
        0 => format!("v{a}"),
        1 => format!("l{a}"),
        2 => format!("r{a}"),
        3 => format!("v{a} v{b}"),
        4 => format!("v{a} l{b}"),
        5 => format!("r{a} v{b}"),
        _ => String::new(),
    };
    Action::Change {
        at,
        change,
        old,
        explicit: !old && rng.chance(200),
    }
}
