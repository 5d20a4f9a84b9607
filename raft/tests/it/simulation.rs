//! Whole clusters under random schedules: messages lost, repeated and out of order, crashes that lose
//! what was not written, snapshots, compaction, changes of members, pre-votes, quorum checks.
//!
//! Observers hold the paper's safety properties (figure 3) at every step, and that reads are never
//! stale. Then the network heals, and the cluster must agree and make progress again. A schedule is a
//! seed: a failure names it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, MessageType,
};
use varve_raft::{
    Config, Jitter as _, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, MemoryStorage, NodeId, RawNode,
    SeededJitter, SnapshotStatus, StateRole, Storage as _, parse_conf_changes,
};

const MEMBERS: u64 = 5;

struct Node {
    raw: RawNode<MemoryStorage>,
    /// Survives crashes.
    disk: MemoryStorage,
    append: VecDeque<Message>,
    apply: VecDeque<Message>,
    conf_state: ConfState,
    applied: u64,
    commit: u64,
}

struct World {
    seed: u64,
    random: SeededJitter,
    nodes: BTreeMap<u64, Node>,
    wire: Vec<Message>,
    leaders: BTreeMap<u64, u64>,
    /// What was applied at an index, anywhere, first.
    history: BTreeMap<u64, Rc<Entry>>,
    /// Highest commit index anybody knew when a read began.
    reads: Vec<u64>,
    answered: usize,
    proposals: u64,
}

fn config(id: u64, seed: u64) -> Config {
    Config {
        election_tick: 5,
        async_storage_writes: true,
        max_size_per_msg: if seed.is_multiple_of(3) { 0 } else { 100 },
        max_committed_size_per_ready: if seed.is_multiple_of(2) { 60 } else { 0 },
        max_inflight_msgs: if seed.is_multiple_of(5) { 2 } else { 16 },
        pre_vote: seed & 1 != 0,
        check_quorum: seed & 2 != 0,
        step_down_on_removal: seed & 4 != 0,
        jitter: Box::new(SeededJitter::new(seed * 1000 + id)),
        ..Config::new(id)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut nodes = BTreeMap::new();
        for id in 1..=MEMBERS {
            let disk = MemoryStorage::with_voters(&[1, 2, 3]);
            let raw = RawNode::new(config(id, seed), disk.clone()).unwrap();
            let conf_state = disk.initial_state().unwrap().1;
            let (append, apply) = (VecDeque::new(), VecDeque::new());
            nodes.insert(
                id,
                Node {
                    raw,
                    disk,
                    append,
                    apply,
                    conf_state,
                    applied: 0,
                    commit: 0,
                },
            );
        }
        Self {
            seed,
            random: SeededJitter::new(seed),
            nodes,
            wire: Vec::new(),
            leaders: BTreeMap::new(),
            history: BTreeMap::new(),
            reads: Vec::new(),
            answered: 0,
            proposals: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.ticks(bound)
    }

    fn node(&mut self) -> u64 {
        self.below(5) as u64 + 1
    }

    fn step(&mut self) {
        let id = self.node();
        match self.below(100) {
            0..15 => self.nodes.get_mut(&id).unwrap().raw.tick(),
            15..55 => self.deliver(),
            55..70 => self.write(id),
            70..82 => self.apply(id),
            82..92 => self.propose(id),
            92..95 => self.read(id),
            95..97 => self.crash(id),
            97 => self.compact(id),
            _ => self.change(id),
        }
        self.work(id);
        self.observe(id);
    }

    fn deliver(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        let at = self.below(self.wire.len());
        let message = match self.below(10) {
            // Lost, repeated later, or delivered; never in order.
            0 => {
                let lost = self.wire.swap_remove(at);
                if lost.r#type() == MessageType::MsgSnap {
                    let sender = self.nodes.get_mut(&lost.from).unwrap();
                    sender.raw.report_snapshot(lost.to, SnapshotStatus::Failure);
                }
                return;
            }
            1 => self.wire[at].clone(),
            _ => self.wire.swap_remove(at),
        };
        self.receive(message);
    }

    fn receive(&mut self, message: Message) {
        let to = message.to;
        // As every transport must: without a report nothing else is sent to the receiver.
        if message.r#type() == MessageType::MsgSnap {
            let sender = self.nodes.get_mut(&message.from).unwrap();
            sender.raw.report_snapshot(to, SnapshotStatus::Finish);
        }
        if let Some(node) = self.nodes.get_mut(&to)
            && let Err(error) = node.raw.step(message)
        {
            // Strangers' answers and proposals that cannot be taken; nothing else may go wrong.
            assert!(!error.is_fatal(), "seed {}: {error}", self.seed);
        }
        self.work(to);
        self.observe(to);
    }

    /// Takes over a node's `Ready`s; storage messages wait their turn.
    fn work(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        while node.raw.has_ready() {
            let ready = node.raw.ready();
            for message in ready.messages {
                match message.to {
                    LOCAL_APPEND_THREAD => node.append.push_back(message),
                    LOCAL_APPLY_THREAD => node.apply.push_back(message),
                    _ => self.wire.push(message),
                }
            }
            for read in ready.read_states {
                let number: usize = std::str::from_utf8(&read.request_ctx)
                    .unwrap()
                    .parse()
                    .unwrap();
                assert!(
                    read.index >= self.reads[number],
                    "seed {}: a read at {} that began when {} was committed",
                    self.seed,
                    read.index,
                    self.reads[number]
                );
                self.answered += 1;
            }
        }
        assert!(
            node.raw.failure().is_none(),
            "seed {}: {:?}",
            self.seed,
            node.raw.failure()
        );
    }

    /// The disk finishes one write.
    fn write(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(order) = node.append.pop_front() else {
            return;
        };
        let state = HardState {
            term: order.term,
            vote: order.vote,
            commit: order.commit,
        };
        if state != HardState::default() {
            node.disk.set_hard_state(state);
        }
        if let Some(snapshot) = order.snapshot.clone() {
            // Applied along with it: the state machine jumps.
            let metadata = snapshot.metadata.clone();
            if node.disk.apply_snapshot(snapshot).is_ok() {
                node.applied = node.applied.max(metadata.index);
                node.conf_state = metadata.conf_state;
            }
        }
        node.disk.append(&order.entries).unwrap();
        self.release(id, order.responses);
    }

    fn apply(&mut self, id: u64) {
        let seed = self.seed;
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(order) = node.apply.pop_front() else {
            return;
        };
        for entry in &order.entries {
            let known = self
                .history
                .entry(entry.index)
                .or_insert_with(|| Rc::new(entry.clone()));
            assert_eq!(
                **known, *entry,
                "seed {seed}: two states at one index on node {id}"
            );
            // Handed out before a snapshot that was applied meanwhile and has it.
            if entry.index <= node.applied {
                continue;
            }
            assert_eq!(
                entry.index,
                node.applied + 1,
                "seed {seed}: an entry was skipped"
            );
            if entry.r#type() == EntryType::EntryConfChangeV2 {
                let data = entry.data.clone().unwrap_or_default();
                let change = ConfChangeV2::decode(data).unwrap();
                // Each node decides alike, on equal configurations.
                if let Ok(conf_state) = node.raw.apply_conf_change_at(entry.index, &change) {
                    node.conf_state = conf_state;
                }
            }
            node.applied = entry.index;
        }
        self.release(id, order.responses);
    }

    fn release(&mut self, id: u64, responses: Vec<Message>) {
        for response in responses {
            if response.to == id {
                self.receive(response);
            } else {
                self.wire.push(response);
            }
        }
    }

    fn propose(&mut self, id: u64) {
        self.proposals += 1;
        let data = self.proposals.to_string();
        let batch = (0..=self.below(3))
            .map(|n| format!("{data}.{n}").into())
            .collect();
        // Taken or not.
        drop(self.nodes.get_mut(&id).unwrap().raw.propose_batch(batch));
    }

    fn read(&mut self, id: u64) {
        let committed = self.nodes.values().map(|node| node.commit).max().unwrap();
        self.reads.push(committed);
        let context = (self.reads.len() - 1).to_string();
        self.nodes
            .get_mut(&id)
            .unwrap()
            .raw
            .read_index(context.into());
    }

    /// Everything in memory is gone, also writes and applies under way.
    fn crash(&mut self, id: u64) {
        let seed = self.seed;
        let node = self.nodes.get_mut(&id).unwrap();
        node.append.clear();
        node.apply.clear();
        node.raw = RawNode::new(config(id, seed), node.disk.clone()).unwrap();
        node.conf_state = node.disk.initial_state().unwrap().1;
        // The application starts over from the snapshot too.
        node.applied = node.disk.first_index().unwrap() - 1;
        node.commit = 0;
    }

    fn compact(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        // Only what is on disk can be compacted, and only what is applied.
        if node.applied <= node.disk.last_index().unwrap() {
            let conf_state = node.conf_state.clone();
            let state = node.applied.to_string().into();
            if node
                .disk
                .create_snapshot(node.applied, Some(&conf_state), state)
                .is_ok()
            {
                node.disk.compact(node.applied).unwrap();
            }
        }
    }

    fn change(&mut self, id: u64) {
        let (a, b) = (self.node(), self.node());
        let changes = match self.below(6) {
            0 => format!("v{a}"),
            1 => format!("l{a}"),
            2 => format!("v{a} v{b}"),
            3 => format!("v{a} l{b}"),
            4 => format!("r{a} v{b}"),
            _ => String::new(),
        };
        let change = ConfChangeV2 {
            changes: parse_conf_changes(&changes).unwrap(),
            ..ConfChangeV2::default()
        };
        let node = self.nodes.get_mut(&id).unwrap();
        match self.random.ticks(4) {
            0 => node.raw.transfer_leader(a),
            1 => node.raw.forget_leader(),
            _ => drop(node.raw.propose_conf_change(&change)),
        }
    }

    fn observe(&mut self, id: u64) {
        let seed = self.seed;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let status = node.raw.basic_status();
        assert!(
            status.commit >= node.commit,
            "seed {seed}: commit went back"
        );
        node.commit = status.commit;
        if status.role == StateRole::Leader {
            let leader = *self.leaders.entry(status.term).or_insert(id);
            assert_eq!(
                leader, id,
                "seed {seed}: two leaders in term {}",
                status.term
            );
            // Whoever leads has everything that was committed in earlier terms.
            let earlier = self
                .history
                .values()
                .rev()
                .find(|entry| entry.term < status.term);
            let number = NodeId::new(id).unwrap();
            let own = node.raw.status().progress.get(number).map(|own| own.next);
            let newest = self.leaders.last_key_value().map(|(term, _)| *term);
            if newest == Some(status.term)
                && let (Some(entry), Some(next)) = (earlier, own)
            {
                let (term, index) = (entry.term, entry.index);
                assert!(
                    next.get() > index,
                    "seed {seed}: leader {id} lacks {term}/{index}"
                );
            }
        }
    }

    /// Nothing is lost any more; the cluster has to agree within a bounded time.
    fn heal(&mut self) {
        let marker = "after all";
        for round in 0..400 {
            for id in 1..=MEMBERS {
                let node = self.nodes.get_mut(&id).unwrap();
                // Who applied its own removal ends, as a server does; a leader would lead on.
                let config = node.raw.status().config;
                let number = NodeId::new(id).unwrap();
                let is_member = config.voters.contains(number) || config.learners.contains(number);
                if is_member || node.applied == 0 {
                    node.raw.tick();
                }
                if round % 10 == 0 {
                    // A snapshot older than the change that added a member is of no use to it.
                    self.compact(id);
                    drop(self.nodes.get_mut(&id).unwrap().raw.propose(marker.into()));
                }
                self.work(id);
            }
            for _ in 0..6 {
                for message in std::mem::take(&mut self.wire) {
                    self.receive(message);
                }
                for id in 1..=MEMBERS {
                    while !self.nodes[&id].append.is_empty() {
                        self.write(id);
                    }
                    while !self.nodes[&id].apply.is_empty() {
                        self.apply(id);
                    }
                    self.work(id);
                    self.observe(id);
                }
            }
            let done = self
                .history
                .values()
                .any(|entry| entry.data.as_deref() == Some(marker.as_bytes()));
            if done && self.agreed() {
                return;
            }
        }
        let state = |node: &Node| {
            let status = node.raw.status();
            format!("{:?} {}\n{}", status.basic, status.config, status.progress)
        };
        let states: String = self.nodes.values().map(state).collect();
        panic!(
            "seed {}: no agreement on a healthy network:\n{states}",
            self.seed
        );
    }

    /// Whether all members of the leader's configuration have applied the same.
    fn agreed(&self) -> bool {
        let leader = self.leaders.values().last().map(|id| &self.nodes[id]);
        let Some(leader) = leader else { return false };
        let config = leader.raw.status().config;
        let members = config.voters.ids().union(&config.learners);
        members
            .iter()
            .all(|id| self.nodes[&id.get()].applied == leader.applied)
    }
}

#[test]
fn clusters_are_safe_under_any_schedule_and_agree_once_it_is_over() {
    let (mut entries, mut reads, mut terms) = (0, 0, 0);
    for seed in 0..120 {
        let mut world = World::new(seed);
        for _ in 0..3000 {
            world.step();
        }
        world.heal();
        entries += world.history.len();
        reads += world.answered;
        terms += world.leaders.len();
    }
    // The schedules are not so rough that nothing happens.
    assert!(
        entries > 5000 && reads > 200 && terms > 300,
        "{entries} {reads} {terms}"
    );
}

#[test]
fn a_schedule_repeats_itself() {
    let run = || {
        let mut world = World::new(7);
        for _ in 0..2000 {
            world.step();
        }
        let statuses: Vec<_> = world.nodes.values().map(|node| node.raw.status()).collect();
        (statuses, world.wire.len(), world.history.len())
    };
    assert_eq!(run(), run());
}
