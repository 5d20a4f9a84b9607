//! Seeds: members, messages and disks do one small thing at a time, in an order that nobody planned.
//!
//! After every step of a member what it applied is compared with what any other applied (`World::step`).
//! In the end everything heals: all members must agree, and have what was acknowledged.
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use varve_proto::raftpb::ConfChangeType::{
    ConfChangeAddLearnerNode, ConfChangeAddNode, ConfChangeRemoveNode,
};
use varve_proto::raftpb::MessageType;
use varve_raftnode::Role;
use varve_vfs::CrashRule;

use super::world::{Settings, TICK, World};

const PROPOSAL: i32 = MessageType::MsgProp as i32;

/// xorshift64*, so that a seed means the same run for ever.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let bound = from.len() as u64;
        (bound > 0).then(|| from[usize::try_from(self.below(bound)).unwrap()])
    }
}

struct Chaos {
    world: World,
    rng: Rng,
    /// Proposed and not known to be applied: where, and what.
    open: Vec<(u64, Bytes)>,
    acknowledged: BTreeSet<Bytes>,
    /// Members whose log writes stand still.
    slow: BTreeSet<u64>,
    loss_percent: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let members = if rng.below(3) == 0 { 5 } else { 3 };
        let settings = Settings {
            snapshot_count: 10 + rng.below(30),
            catch_up_entries: rng.below(10),
            log_bytes: if rng.below(2) == 0 { 400 } else { 1 << 20 },
            commit_every: 1 + rng.below(20),
            stalled_sync_timeouts: 1,
            commit_delay: Duration::from_millis(seed % 2),
        };
        let loss_percent = [0, 0, 5, 30][usize::try_from(rng.below(4)).unwrap()];
        let mut world = World::new(members, settings);
        // One that may join.
        world.add_slot(members + 1);
        Self {
            world,
            rng,
            open: Vec::new(),
            acknowledged: BTreeSet::new(),
            slow: BTreeSet::new(),
            loss_percent,
        }
    }

    fn step(&mut self) {
        let alive = self.world.alive();
        match self.rng.below(10_000) {
            0..5_500 => self.work(&alive),
            5_500..9_000 => self.network(),
            9_000..9_600 => self.time(&alive),
            9_600..9_950 => self.client(&alive),
            9_950..9_954 => self.fail(&alive),
            9_954..9_970 => self.revive(),
            9_970..9_974 => self.cut(),
            9_974..9_982 => self.world.network.lock().heal(),
            9_982..9_988 => self.membership(),
            9_988..9_990 => self.slow.extend(self.rng.pick(&alive)),
            _ => self.slow.clear(),
        }
    }

    fn work(&mut self, alive: &[u64]) {
        let Some(id) = self.rng.pick(alive) else {
            return;
        };
        let busy: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| self.world.running(id).stepper.has_work(*role))
            .collect();
        let Some(role) = self.rng.pick(&busy) else {
            return;
        };
        if role != Role::Wal || !self.slow.contains(&id) {
            self.world.step(id, role);
        }
        let world = &self.world;
        let acknowledged = &mut self.acknowledged;
        if role == Role::Apply || role == Role::Raft {
            self.open.retain(|(at, data)| {
                let done = *at == id && world.has(id, data);
                if done {
                    acknowledged.insert(data.clone());
                }
                !done
            });
        }
    }

    fn network(&mut self) {
        let waiting = self.world.network.lock().packets.len() as u64;
        if waiting == 0 {
            return;
        }
        // Mostly in order, at times not; once in a while twice.
        let at = if self.rng.below(10) == 0 {
            self.rng.below(waiting)
        } else {
            0
        };
        let mut network = self.world.network.lock();
        let Some(packet) = network.packets.remove(usize::try_from(at).unwrap()) else {
            return;
        };
        // Not a proposal that is passed on: no transport sends those twice, and raft would take both.
        let may_repeat = packet.database.is_none() && packet.message.r#type != PROPOSAL;
        if may_repeat && self.rng.below(50) == 0 {
            network.packets.push_back(packet.clone());
        }
        drop(network);
        if self.rng.below(100) < self.loss_percent {
            self.world.lose(&packet);
        } else {
            self.world.deliver(packet);
        }
    }

    fn time(&mut self, alive: &[u64]) {
        let Some(id) = self.rng.pick(alive) else {
            return;
        };
        let by = if self.rng.below(200) == 0 {
            TICK * 30
        } else {
            TICK / 2
        };
        let slot = self.world.slots.get_mut(&id).unwrap();
        if let Some(running) = &mut slot.running {
            running.stepper.advance(by);
        }
    }

    fn client(&mut self, alive: &[u64]) {
        let Some(id) = self.rng.pick(alive) else {
            return;
        };
        let (name, data) = self.world.name();
        if self.world.node(id).propose(name, data.clone()).is_ok() {
            self.open.push((id, data));
        }
        if self.open.len() > 50 {
            self.open.remove(0);
        }
    }

    /// A member dies, with its machine or without.
    fn fail(&mut self, alive: &[u64]) {
        let Some(id) = self.rng.pick(alive) else {
            return;
        };
        let rules = [
            CrashRule::LoseUnsynced,
            CrashRule::KeepAll,
            CrashRule::Subset,
            CrashRule::Torn,
        ];
        match self.rng.pick(&rules) {
            Some(rule) if self.rng.below(3) > 0 => {
                let seed = self.rng.below(u64::from(u32::MAX));
                self.world.cut_power(id, rule, seed);
            }
            _ => self.world.kill(id),
        }
        self.open.retain(|(at, _)| *at != id);
    }

    /// A dead member comes back; the one that may join waits until it is asked.
    fn revive(&mut self) {
        let alive = self.world.alive();
        let ids = self.world.ids();
        let dead: Vec<u64> = ids[..ids.len() - 1]
            .iter()
            .copied()
            .filter(|id| !alive.contains(id))
            .collect();
        if let Some(id) = self.rng.pick(&dead) {
            self.start(id);
        }
    }

    fn start(&mut self, id: u64) {
        if let Err(error) = self.world.start(id) {
            panic!("member {id} does not start: {error}");
        }
    }

    fn cut(&mut self) {
        let ids = self.world.ids();
        let mut network = self.world.network.lock();
        if let (Some(a), Some(b)) = (self.rng.pick(&ids), self.rng.pick(&ids)) {
            match self.rng.below(3) {
                0 => network.cut_one_way(a, b),
                1 => network.isolate(a, [b]),
                _ => network.isolate(a, ids),
            }
        }
    }

    fn membership(&mut self) {
        let joiner = *self.world.ids().last().unwrap();
        let Some(leader) = self.world.leader() else {
            return;
        };
        if self.world.slots[&joiner].running.is_none() {
            self.start(joiner);
        }
        let kind = match self.rng.below(3) {
            0 => ConfChangeAddLearnerNode,
            1 => ConfChangeAddNode,
            // A removed id must not come back: only a joiner that never was a member is "removed".
            _ if !self.world.voters(leader).contains(&joiner) => ConfChangeRemoveNode,
            _ => return,
        };
        let is_member = {
            let conf_state = self.world.running(leader).conf_state.lock().clone();
            conf_state.voters.contains(&joiner) || conf_state.learners.contains(&joiner)
        };
        if kind != ConfChangeRemoveNode || !is_member {
            self.world.change(leader, kind, joiner);
        }
    }

    /// Everything heals; all agree, and what was acknowledged is there.
    fn end(mut self) {
        self.world.network.lock().heal();
        let joiner = *self.world.ids().last().unwrap();
        for id in self.world.ids() {
            let failure = self.world.slots[&id]
                .running
                .as_ref()
                .map(|_| self.world.failure(id));
            assert_eq!(failure.flatten(), None, "member {id} failed");
            if !self.world.alive().contains(&id) && id != joiner {
                self.start(id);
            }
        }
        // The others have a majority without it, whether it is a member or not.
        self.world.kill(joiner);
        let leader = self.world.elect();
        let joined = {
            let conf_state = self.world.running(leader).conf_state.lock().clone();
            conf_state.voters.contains(&joiner) || conf_state.learners.contains(&joiner)
        };
        if joined {
            self.start(joiner);
        }
        let last = self.world.put(leader);
        self.world.agree();
        let kept: BTreeSet<Bytes> = self.world.history.values().cloned().collect();
        assert!(kept.contains(&last));
        let lost: Vec<_> = self.acknowledged.difference(&kept).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert_eq!(kept.len(), self.world.history.len(), "applied twice");
    }
}

fn run(seed: u64, steps: usize) -> usize {
    let mut chaos = Chaos::new(seed);
    for _ in 0..steps {
        chaos.step();
    }
    let acknowledged = chaos.acknowledged.len();
    chaos.end();
    acknowledged
}

#[test]
fn members_agree_and_keep_what_was_acknowledged_whatever_happens() {
    // A longer run: VARVE_RAFTNODE_SEEDS=first..last VARVE_RAFTNODE_STEPS=20000
    let (first, last) = std::env::var("VARVE_RAFTNODE_SEEDS")
        .ok()
        .and_then(|range| {
            let (first, last) = range.split_once("..")?;
            Some((first.parse().ok()?, last.parse().ok()?))
        })
        .unwrap_or((0, 60));
    let steps = std::env::var("VARVE_RAFTNODE_STEPS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000);
    let mut acknowledged = 0;
    for seed in first..last {
        let outcome = std::panic::catch_unwind(|| run(seed, steps));
        match outcome {
            Ok(count) => acknowledged += count,
            Err(panic) => {
                tracing_line(&format!("seed {seed}, {steps} steps"));
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(
        acknowledged as u64 > (last - first) * 20,
        "only {acknowledged} were acknowledged"
    );
}

/// Names the seed of a failure.
fn tracing_line(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stderr();
    writeln!(out, "{text}").unwrap();
}
