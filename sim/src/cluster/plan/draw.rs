//! Drawing plans: each has a flavour, which says what it is mostly about.

use varve_vfs::{CrashRule, Fault};

use super::{Action, Op, Plan, Timed, Who};
use crate::cluster::settings::Settings;
use crate::cluster::{SLOTS, TICK};
use crate::rng::Rng;

/// Keys that clients use.
const KEYS: u64 = 4;

/// What a schedule is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    /// A bit of everything.
    Mixed,
    /// Power that fails.
    Crashes,
    /// A network that is divided.
    Cuts,
    /// Members that come and go.
    Members,
    /// Members that stand still while leases run.
    Leases,
}

/// How likely each kind of action is, in the order of the arms of `draw_action`.
fn weights(flavour: Flavour) -> [u64; 11] {
    //   kill crsh fail part isol cut  paus slow xfer memb watch
    match flavour {
        Flavour::Mixed => [3, 6, 3, 3, 4, 3, 4, 2, 3, 5, 4],
        Flavour::Crashes => [6, 20, 8, 1, 2, 1, 2, 2, 2, 2, 2],
        Flavour::Cuts => [1, 2, 0, 8, 12, 8, 3, 1, 2, 1, 3],
        Flavour::Members => [2, 5, 1, 2, 3, 1, 2, 1, 4, 20, 2],
        Flavour::Leases => [2, 3, 0, 2, 8, 2, 16, 1, 4, 1, 1],
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let settings = Settings::draw(&mut rng);
        let flavour = rng.pick(&[
            Flavour::Mixed,
            Flavour::Mixed,
            Flavour::Crashes,
            Flavour::Cuts,
            Flavour::Members,
            Flavour::Leases,
        ]);
        let end = TICK * rng.between(40, 120);
        let mut actions = vec![Timed {
            time: TICK * rng.between(5, 30),
            action: Action::Version { at: Who::Leader(1) },
        }];
        let pace = rng.pick(&[3 * TICK, 6 * TICK, 12 * TICK]);
        let mut time = 10 * TICK;
        while time < end {
            time += rng.below(2 * pace);
            draw_action(&mut rng, flavour, &settings, time, &mut actions);
        }
        draw_clients(&mut rng, flavour, &settings, end, &mut actions);
        actions.sort_by_key(|timed| timed.time);
        Self {
            seed,
            settings,
            actions,
            end,
        }
    }
}

fn slot(rng: &mut Rng, settings: &Settings) -> u64 {
    // Now and then one that has joined.
    if rng.chance(150) {
        rng.between(1, SLOTS)
    } else {
        rng.between(1, settings.members)
    }
}

fn who(rng: &mut Rng, settings: &Settings, leader: u64) -> Who {
    let id = slot(rng, settings);
    if rng.chance(leader) {
        Who::Leader(id)
    } else {
        Who::Slot(id)
    }
}

/// Clients go on whatever happens.
fn draw_clients(
    rng: &mut Rng,
    flavour: Flavour,
    settings: &Settings,
    end: u64,
    into: &mut Vec<Timed>,
) {
    let pace = rng.pick(&[TICK / 3, TICK / 2, TICK]);
    for _ in 0..rng.between(1, 3) {
        let time = TICK * rng.between(1, 10);
        let action = draw_watch(rng, settings);
        into.push(Timed { time, action });
    }
    let mut time = 2 * TICK;
    while time < end {
        time += rng.below(2 * pace);
        let op = draw_op(rng, flavour, settings);
        // Renewals that reach a follower come to nothing.
        let leader = match op {
            Op::KeepAlive { .. } => 900,
            _ => 350,
        };
        let at = who(rng, settings, leader);
        into.push(Timed {
            time,
            action: Action::Client { at, op },
        });
    }
}

fn draw_op(rng: &mut Rng, flavour: Flavour, settings: &Settings) -> Op {
    let key = rng.below(KEYS);
    let leases = if flavour == Flavour::Leases { 30 } else { 8 };
    let roll = rng.below(100 + leases);
    match roll {
        0..34 => Op::Put { key },
        34..40 => Op::Delete {
            key,
            all: rng.chance(300),
        },
        40..72 => Op::Read {
            key,
            all: rng.chance(300),
            serializable: rng.chance(250),
            back: if rng.chance(150) {
                rng.pick(&[1, 3, 10])
            } else {
                0
            },
        },
        72..86 => Op::Swap {
            key,
            wrong: rng.chance(150),
        },
        86..94 => {
            let first = rng.below(KEYS);
            Op::Several {
                keys: [first, (first + 1) % KEYS, (first + 2) % KEYS],
            }
        }
        94..100 if settings.compacts => Op::Compact {
            keep: rng.pick(&[0, 2, 10]),
        },
        94..100 => Op::Put { key },
        _ => match rng.below(10) {
            0..2 => Op::Grant {
                ttl: rng.pick(&[1, 2, 2, 3]),
            },
            2..9 => Op::KeepAlive {
                lease: rng.draw() >> 32,
            },
            _ => Op::Revoke {
                lease: rng.draw() >> 32,
            },
        },
    }
}

fn draw_watch(rng: &mut Rng, settings: &Settings) -> Action {
    Action::Watch {
        at: who(rng, settings, 200),
        key: rng.below(KEYS),
        all: rng.chance(600),
        previous: !settings.compacts && rng.chance(500),
        from_start: rng.chance(500),
    }
}

fn draw_action(
    rng: &mut Rng,
    flavour: Flavour,
    settings: &Settings,
    time: u64,
    into: &mut Vec<Timed>,
) {
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
    let at = who(rng, settings, 400);
    let down = rng.pick(&[10, 2 * TICK, 10 * TICK, 30 * TICK]);
    match kind {
        0 if rng.chance(500) => push(time, Action::Kill { at, down }),
        0 => push(time, Action::Stop { at, down }),
        1 => {
            let rule = rng.pick(&CrashRule::ALL);
            let ops = rng.pick(&[0, 0, 1, 3, 8]);
            push(
                time,
                Action::Crash {
                    at,
                    ops,
                    rule,
                    down,
                },
            );
            if rng.chance(150) {
                // The whole room goes dark.
                for id in 1..=SLOTS {
                    let at = Who::Slot(id);
                    let ops = 0;
                    push(
                        time + rng.below(30),
                        Action::Crash {
                            at,
                            ops,
                            rule,
                            down,
                        },
                    );
                }
            }
        }
        2 if rng.chance(200) => {
            let spare = rng.pick(&[0, 3000, 20_000, 50_000]);
            push(time, Action::FillDisk { at, spare });
        }
        2 => {
            let fault = rng.pick(&[Fault::Eio, Fault::Enospc, Fault::ShortWriteOfPages]);
            let ops = rng.between(1, 12);
            push(
                time,
                Action::FailDisk {
                    at,
                    ops,
                    fault,
                    down,
                },
            );
        }
        3 => {
            let side = rng.between(1, (1 << settings.members) - 2);
            push(time, Action::Partition { side });
            push(time + TICK * rng.between(5, 30), Action::Mend);
        }
        4 => {
            let (deaf, mute) =
                rng.pick(&[(true, true), (true, true), (true, false), (false, true)]);
            push(time, Action::Isolate { at, deaf, mute });
            push(time + TICK * rng.between(5, 40), Action::Mend);
        }
        5 => {
            let (from, to) = (slot(rng, settings), slot(rng, settings));
            push(time, Action::Cut { from, to });
            push(time + TICK * rng.between(5, 30), Action::Mend);
        }
        6 => {
            let long = if flavour == Flavour::Leases { 50 } else { 20 };
            let time_out = TICK * rng.between(1, long);
            push(time, Action::Pause { at, time: time_out });
        }
        7 => {
            let times = rng.pick(&[Some(10), Some(50), None]);
            let long = TICK * rng.between(5, 40);
            match times {
                Some(times) => {
                    push(time, Action::SlowDisk { at, times });
                    push(time + long, Action::SlowDisk { at, times: 1 });
                }
                None => push(time, Action::StallDisk { at, time: long }),
            }
        }
        8 => {
            let to = slot(rng, settings);
            let at = Who::Leader(slot(rng, settings));
            push(time, Action::MoveLeader { at, to });
        }
        9 => {
            let leader = Who::Leader(slot(rng, settings));
            match rng.below(5) {
                0 | 1 => push(time, Action::Join { at: leader }),
                2 | 3 => push(time, Action::Promote { at: leader }),
                _ => push(
                    time,
                    Action::Leave {
                        at: leader,
                        who: at,
                    },
                ),
            }
        }
        _ if rng.chance(500) => push(time, draw_watch(rng, settings)),
        _ => {
            let watch = rng.draw() >> 32;
            let to = slot(rng, settings);
            push(time, Action::MoveWatch { watch, to });
        }
    }
}
