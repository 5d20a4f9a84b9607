//! Members over simulated disks and a network in memory, in one thread, by virtual time.
//!
//! Two ways to run it: `round` lets everybody do everything and time pass by one tick; `chaos` picks one
//! small step at a time from a seed. Both check after every step that what members applied is the same.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_proto::raftpb::{ConfChange, ConfChangeType, ConfState};
use varve_raftnode::membership::{Member, cluster_id};
use varve_raftnode::{
    Bootstrapped, Node, NodeConfig, Observer, Role, Stepper, WalWrite, create, has_wal, open,
};
use varve_vfs::{CrashRule, DynFs, SimFs, durable};
use varve_wal::WalOptions;

use super::ledger::{Ledger, Shared};
use super::net::{Network, Packet, Port, SharedNetwork};

pub(crate) const TICK: Duration = Duration::from_millis(100);
pub(crate) const ELECTION_TICKS: usize = 10;
/// How long a member waits for what it passed on: two election timeouts, after which a leader that could
/// not hand over takes proposals again.
const PASSED_ON_ROUNDS: u32 = 20;
const WAL: &str = "/member/wal";
const SNAP: &str = "/member/snap";

/// What a member told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) dropped: Vec<u64>,
    pub(crate) failure: Option<String>,
    pub(crate) removed: bool,
    pub(crate) late_heartbeats: usize,
    pub(crate) snapshots_saved: usize,
}

struct Ear {
    told: Arc<Mutex<Told>>,
}

impl Observer for Ear {
    fn proposal_dropped(&self, id: u64) {
        self.told.lock().dropped.push(id);
    }
    fn wal_written(&self, _: WalWrite) {}
    fn leader_changed(&self, _: u64, _: u64) {}
    fn snapshot_saved(&self, _: u64) {
        self.told.lock().snapshots_saved += 1;
    }
    fn heartbeat_late(&self, _: Duration) {
        self.told.lock().late_heartbeats += 1;
    }
    fn removed(&self) {
        self.told.lock().removed = true;
    }
    fn failed(&self, error: &(dyn std::error::Error + Send + Sync)) {
        self.told.lock().failure = Some(error.to_string());
    }
}

/// A running member.
pub(crate) struct Running {
    pub(crate) stepper: Stepper,
    pub(crate) content: Shared,
    pub(crate) conf_state: Arc<Mutex<ConfState>>,
    pub(crate) told: Arc<Mutex<Told>>,
    /// Entries up to here were compared with the history.
    checked: usize,
}

/// A member, running or not.
pub(crate) struct Slot {
    pub(crate) fs: SimFs,
    pub(crate) running: Option<Running>,
    /// How often it was started.
    starts: u64,
}

/// Numbers that tests vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) snapshot_count: u64,
    pub(crate) catch_up_entries: u64,
    pub(crate) log_bytes: usize,
    pub(crate) commit_every: u64,
    pub(crate) stalled_sync_timeouts: u32,
    pub(crate) commit_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            snapshot_count: 1_000_000,
            catch_up_entries: 5,
            log_bytes: 1 << 20,
            commit_every: 7,
            stalled_sync_timeouts: 1,
            commit_delay: Duration::ZERO,
        }
    }
}

pub(crate) struct World {
    pub(crate) slots: BTreeMap<u64, Slot>,
    pub(crate) network: SharedNetwork,
    pub(crate) settings: Settings,
    initial: Vec<u64>,
    /// What was applied anywhere: by index.
    pub(crate) history: BTreeMap<u64, Bytes>,
    next_name: u64,
}

fn member(id: u64) -> Member {
    Member {
        id,
        peer_urls: vec![format!("http://10.0.0.{id}:2380")],
        name: format!("m{id}"),
        ..Member::default()
    }
}

fn options() -> WalOptions {
    WalOptions {
        // A few dozen entries, so that segments come and go.
        segment_size_bytes: 3 << 10,
        prefill: false,
        inline_pipeline: true,
        ..WalOptions::default()
    }
}

impl World {
    /// A new cluster of members 1 to `members`, all started.
    pub(crate) fn new(members: u64, settings: Settings) -> Self {
        let mut world = Self {
            slots: BTreeMap::new(),
            network: Arc::new(Mutex::new(Network::default())),
            settings,
            initial: (1..=members).collect(),
            history: BTreeMap::new(),
            next_name: 0,
        };
        for id in 1..=members {
            world.add_slot(id);
            world.start(id).unwrap();
        }
        world
    }

    /// An empty disk for a member that is not running.
    pub(crate) fn add_slot(&mut self, id: u64) {
        let slot = Slot {
            fs: SimFs::new(),
            running: None,
            starts: 0,
        };
        self.slots.insert(id, slot);
    }

    /// Starts a member from its disk: a new one where it is empty, initial or joining by its id.
    pub(crate) fn start(&mut self, id: u64) -> Result<(), String> {
        let initial = if self.initial.contains(&id) {
            self.initial.clone()
        } else {
            Vec::new()
        };
        let cluster = cluster_id(self.initial.iter().copied());
        let fs = self.slots[&id].fs.shared();
        let boot = boot(&fs, id, &initial, cluster).map_err(|e| e.to_string())?;
        self.run(id, boot)
    }

    /// Runs a member whose disk was opened.
    pub(crate) fn run(&mut self, id: u64, mut boot: Bootstrapped) -> Result<(), String> {
        let settings = self.settings;
        let slot = self.slots.get_mut(&id).unwrap();
        slot.starts += 1;
        let fs = slot.fs.shared();
        let ledger = Ledger::open(&fs, boot.snapshot_index, settings.commit_every)?;
        boot.note_committed(ledger.durable());
        let (content, conf_state) = ledger.shared();
        *conf_state.lock() = boot.conf_state.clone();
        let told = Arc::new(Mutex::new(Told::default()));
        let config = NodeConfig {
            tick: TICK,
            election_ticks: ELECTION_TICKS,
            pre_vote: true,
            advance_first_election: true,
            snapshot_count: settings.snapshot_count,
            catch_up_entries: settings.catch_up_entries,
            log_bytes: settings.log_bytes,
            max_waiting_requests: 1000,
            max_wals: 2,
            max_snapshots: 2,
            jitter_seed: id * 1000 + slot.starts,
            started_unix_ms: 1_700_000_000_000 + slot.starts * 10_000,
            stalled_sync_timeouts: settings.stalled_sync_timeouts,
            commit_delay: settings.commit_delay,
        };
        let port = Port {
            id,
            network: Arc::clone(&self.network),
        };
        let ear = Ear {
            told: Arc::clone(&told),
        };
        let stepper = Stepper::new(
            boot,
            &config,
            Box::new(ledger),
            Arc::new(port),
            Arc::new(ear),
        )
        .map_err(|e| e.to_string())?;
        slot.running = Some(Running {
            stepper,
            content,
            conf_state,
            told,
            checked: 0,
        });
        Ok(())
    }

    /// Ends a member as `kill -9` does: the disk keeps what was written, synced or not.
    pub(crate) fn kill(&mut self, id: u64) {
        self.slots.get_mut(&id).unwrap().running = None;
    }

    /// Cuts a member's power: the disk is what `rule` leaves of what was not synced.
    pub(crate) fn cut_power(&mut self, id: u64, rule: CrashRule, seed: u64) {
        let slot = self.slots.get_mut(&id).unwrap();
        slot.running = None;
        slot.fs = slot.fs.crash_image(rule, seed);
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.slots.keys().copied().collect()
    }

    pub(crate) fn running(&self, id: u64) -> &Running {
        self.slots[&id].running.as_ref().expect("the member runs")
    }

    pub(crate) fn node(&self, id: u64) -> &Node {
        self.running(id).stepper.node()
    }

    pub(crate) fn alive(&self) -> Vec<u64> {
        let alive = |slot: &Slot| slot.running.as_ref().is_some_and(|r| r.stepper.is_alive());
        let ids = self.slots.iter().filter(|(_, slot)| alive(slot));
        ids.map(|(id, _)| *id).collect()
    }

    /// The member that leads in the highest term, if one does.
    pub(crate) fn leader(&self) -> Option<u64> {
        self.alive()
            .into_iter()
            .filter(|id| self.node(*id).status().is_leader)
            .max_by_key(|id| self.node(*id).status().term)
    }

    /// One step of a role, and the check of what it applied.
    pub(crate) fn step(&mut self, id: u64, role: Role) {
        let Some(running) = self.slots.get_mut(&id).and_then(|s| s.running.as_mut()) else {
            return;
        };
        running.stepper.step(role);
        if role == Role::Apply || role == Role::Raft {
            self.compare(id);
        }
    }

    /// What a member applied must be what others applied at the same indexes.
    fn compare(&mut self, id: u64) {
        let running = self.slots.get_mut(&id).unwrap().running.as_mut().unwrap();
        let content = running.content.lock();
        assert!(
            content.entries.len() >= running.checked,
            "member {id} took back what it had applied"
        );
        for (index, data) in &content.entries[running.checked..] {
            let known = self.history.entry(*index).or_insert_with(|| data.clone());
            assert_eq!(known, data, "member {id} has something else at {index}");
        }
        running.checked = content.entries.len();
    }

    /// Lets one packet through, where its link is up and its receiver runs.
    pub(crate) fn deliver(&mut self, packet: Packet) {
        let to = packet.message.to;
        if self.network.lock().is_cut(packet.from, to) || !self.alive().contains(&to) {
            return self.lose(&packet);
        }
        let is_snapshot = packet.database.is_some();
        let mut ok = true;
        if let (Some(database), Some(snapshot)) = (&packet.database, &packet.message.snapshot) {
            let index = snapshot.metadata.index;
            let path = format!("{SNAP}/{index:016x}.snap.db");
            let fs = self.slots[&to].fs.shared();
            let known = fs.exists(Path::new(&path)).unwrap_or(false);
            ok = known
                || durable::write_file(fs.as_ref(), Path::new(&path), database, 0o600).is_ok();
        }
        if ok {
            let _full = self.node(to).receive(packet.message);
        }
        if is_snapshot && self.alive().contains(&packet.from) {
            self.node(packet.from).report_snapshot(to, ok);
        }
    }

    /// Loses one packet, as its sender's transport would notice.
    pub(crate) fn lose(&mut self, packet: &Packet) {
        if !self.alive().contains(&packet.from) {
            return;
        }
        let node = self.node(packet.from);
        node.report_unreachable(packet.message.to);
        if packet.database.is_some() {
            node.report_snapshot(packet.message.to, false);
        }
    }

    /// Has everybody work until nobody has anything left to do. `held` roles do not get to work.
    pub(crate) fn settle(&mut self, held: &[(u64, Role)]) {
        for _ in 0..10_000 {
            let mut worked = false;
            for id in self.alive() {
                for role in Role::ALL {
                    let has_work = self.slots[&id]
                        .running
                        .as_ref()
                        .is_some_and(|r| r.stepper.has_work(role));
                    if has_work && !held.contains(&(id, role)) {
                        self.step(id, role);
                        worked = true;
                    }
                }
            }
            let packets = std::mem::take(&mut self.network.lock().packets);
            worked |= !packets.is_empty();
            for packet in packets {
                self.deliver(packet);
            }
            if !worked {
                return;
            }
        }
        panic!("the members do not come to rest");
    }

    /// Everybody works, then a tick of time passes.
    pub(crate) fn round(&mut self) {
        self.round_without(&[]);
    }

    /// The same, while some roles stand still.
    pub(crate) fn round_without(&mut self, held: &[(u64, Role)]) {
        self.settle(held);
        for id in self.alive() {
            let slot = self.slots.get_mut(&id).unwrap();
            slot.running.as_mut().unwrap().stepper.advance(TICK);
        }
        self.settle(held);
    }

    /// Rounds until something holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            self.round();
        }
        let states: Vec<_> = self
            .alive()
            .iter()
            .map(|id| format!("{:?}", self.node(*id)))
            .collect();
        panic!("not within 400 ticks: {what}; {states:#?}");
    }

    /// Rounds until a member leads all that run.
    pub(crate) fn elect(&mut self) -> u64 {
        self.until("a leader that all know", |w| {
            let leader = w.leader();
            leader.is_some()
                && w.alive()
                    .iter()
                    .all(|id| Some(w.node(*id).status().leader) == leader)
        });
        self.leader().unwrap()
    }

    /// A payload that nothing else has.
    pub(crate) fn name(&mut self) -> (u64, Bytes) {
        self.next_name += 1;
        (
            self.next_name,
            Bytes::from(format!("{:060}", self.next_name)),
        )
    }

    /// Proposes at a member; the payload.
    pub(crate) fn propose(&mut self, at: u64) -> Bytes {
        let (name, data) = self.name();
        self.node(at).propose(name, data.clone()).unwrap();
        data
    }

    /// Proposes at a member and waits until it has applied that; again where it was dropped, or where it may
    /// have been lost: with a leader, or on the way to one, which tells nobody (`elections`, "passed on").
    pub(crate) fn put(&mut self, at: u64) -> Bytes {
        for _ in 0..20 {
            let term = self.node(at).status().term;
            let patience = if self.node(at).status().is_leader {
                u32::MAX
            } else {
                PASSED_ON_ROUNDS
            };
            let (name, data) = self.name();
            self.node(at).propose(name, data.clone()).unwrap();
            let mut rounds = 0;
            self.until("the proposal is applied or lost", |w| {
                rounds += 1;
                let dropped = w.running(at).told.lock().dropped.contains(&name);
                let lost = dropped || w.node(at).status().term != term || rounds > patience;
                w.has(at, &data) || lost
            });
            if self.has(at, &data) {
                return data;
            }
            self.elect();
        }
        panic!("member {at} takes no proposals");
    }

    pub(crate) fn has(&self, id: u64, data: &Bytes) -> bool {
        let content = self.running(id).content.lock();
        content.entries.iter().rev().any(|(_, d)| d == data)
    }

    pub(crate) fn applied(&self, id: u64) -> u64 {
        self.node(id).status().applied
    }

    /// Rounds until all that run have applied the same and everything.
    pub(crate) fn agree(&mut self) {
        self.until("all have applied the same", |w| {
            let last = w.history.keys().last().copied().unwrap_or_default();
            let all: Vec<u64> = w.alive().iter().map(|id| w.applied(*id)).collect();
            all.windows(2).all(|p| p[0] == p[1]) && all.first().is_none_or(|a| *a >= last)
        });
        for id in self.alive() {
            let content = self.running(id).content.lock();
            let expected: Vec<_> = self.history.iter().map(|(i, d)| (*i, d.clone())).collect();
            assert_eq!(content.entries, expected, "member {id}");
        }
    }

    /// Proposes a change of membership at a member; what it was told.
    pub(crate) fn change(&mut self, at: u64, kind: ConfChangeType, id: u64) {
        let change = ConfChange {
            id: 1,
            r#type: kind as i32,
            node_id: id,
            context: None,
        };
        let done = Box::new(|_| {});
        self.node(at).propose_conf_change(change, done).unwrap();
    }

    pub(crate) fn voters(&self, id: u64) -> Vec<u64> {
        self.running(id).conf_state.lock().voters.clone()
    }

    pub(crate) fn failure(&self, id: u64) -> Option<String> {
        self.running(id).told.lock().failure.clone()
    }
}

fn boot(
    fs: &DynFs,
    id: u64,
    initial: &[u64],
    cluster: u64,
) -> Result<Bootstrapped, Box<dyn std::error::Error>> {
    let (wal, snap) = (Path::new(WAL), Path::new(SNAP));
    durable::create_dir_all(fs.as_ref(), snap, 0o700)?;
    let members: Vec<_> = initial.iter().map(|id| member(*id)).collect();
    if !has_wal(fs, wal)? {
        return Ok(create(fs, wal, snap, &members, id, cluster, options())?);
    }
    let mut boot = open(fs, wal, snap, options())?;
    if boot.is_unfinished() && !members.is_empty() {
        boot.write_initial_members(&members)?;
    }
    Ok(boot)
}

/// Opens a member's disk for a test that does something with it before the start.
pub(crate) fn open_disk(fs: &SimFs) -> Bootstrapped {
    open(&fs.shared(), Path::new(WAL), Path::new(SNAP), options()).unwrap()
}

pub(crate) fn description(id: u64) -> Member {
    member(id)
}
