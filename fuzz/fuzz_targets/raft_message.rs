//! Whatever a peer sends, to a node in whatever role: it is taken or refused, and never panics.
//!
//! The input is a script: settings, a role to begin in, then messages (as protobuf bytes, or made of
//! small numbers, which get further), ticks and calls. After each the node's work is done.
#![no_main]
use libfuzzer_sys::fuzz_target;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, Snapshot,
    SnapshotMetadata,
};
use varve_raft::{
    Config, MemoryStorage, RawNode, ReadOnlyOption, Ready, SnapshotStatus, is_local_target,
};

/// Bytes, read from the front; zeros when there are none left.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// Mostly small, sometimes as large as it gets.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX - u64::from(self.byte()),
            254 => u64::MAX >> (self.byte() & 63),
            byte => u64::from(byte & 15),
        }
    }

    fn entry(&mut self, term: u64, index: u64) -> Entry {
        let shape = self.byte();
        let (term, index) = if shape & 0x40 == 0 {
            (term, index)
        } else {
            (self.number(), self.number())
        };
        let kind = match shape & 7 {
            0..=4 => i32::from(shape & 1),
            5 | 6 => 2,
            _ => i32::from(self.byte()) - 100,
        };
        let len = usize::from(self.byte() & 15).min(self.0.len());
        let (data, rest) = self.0.split_at(len);
        self.0 = rest;
        Entry {
            r#type: kind,
            term,
            index,
            data: (shape & 0x80 == 0).then(|| data.to_vec().into()),
        }
    }

    fn ids(&mut self) -> Vec<u64> {
        (0..self.byte() & 3).map(|_| self.number()).collect()
    }

    fn message(&mut self) -> Message {
        let (r#type, shape) = (i32::from(self.byte() % 26), self.byte());
        let mut message = Message {
            r#type,
            from: u64::from(self.byte() & 7),
            to: 1,
            term: self.number(),
            index: self.number(),
            log_term: self.number(),
            commit: self.number(),
            reject: shape & 1 != 0,
            reject_hint: u64::from(shape >> 4),
            ..Message::default()
        };
        if shape & 2 != 0 {
            let (mut index, term) = (message.index, message.log_term.max(1));
            for _ in 0..self.byte() & 3 {
                index = index.wrapping_add(1);
                let entry = self.entry(term, index);
                message.entries.push(entry);
            }
        }
        if shape & 4 != 0 {
            let len = usize::from(self.byte() & 15).min(self.0.len());
            let (context, rest) = self.0.split_at(len);
            message.context = Some(context.to_vec().into());
            self.0 = rest;
        }
        if shape & 8 != 0 {
            let conf_state = ConfState {
                voters: self.ids(),
                learners: self.ids(),
                voters_outgoing: self.ids(),
                learners_next: self.ids(),
                auto_leave: shape & 1 != 0,
            };
            message.snapshot = Some(Snapshot {
                data: None,
                metadata: SnapshotMetadata {
                    conf_state,
                    index: self.number(),
                    term: self.number(),
                },
            });
        }
        message
    }
}

struct Node {
    raw: RawNode<MemoryStorage>,
    asynchronous: bool,
    commit: u64,
}

impl Node {
    fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            let data = entry.data.clone().unwrap_or_default();
            // As a driver does; what does not decode, or cannot be carried out, is as if rejected.
            let changed = match EntryType::try_from(entry.r#type) {
                Ok(EntryType::EntryConfChange) => ConfChange::decode(data)
                    .ok()
                    .map(|change| self.raw.apply_conf_change_at(entry.index, &change)),
                Ok(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(data)
                    .ok()
                    .map(|change| self.raw.apply_conf_change_at(entry.index, &change)),
                _ => None,
            };
            drop(changed);
        }
    }

    fn save(&mut self, ready: &Ready) {
        let storage = self.raw.storage().clone();
        if let Some(state) = ready.hard_state {
            storage.set_hard_state(state);
        }
        if let Some(snapshot) = &ready.snapshot {
            storage
                .apply_snapshot(snapshot.clone())
                .expect("the core takes over newer snapshots only");
        }
        storage
            .append(&ready.entries)
            .expect("entries leave no gap");
    }

    /// Does all that the node asks for. False: it stopped, or told that its log contradicts the cluster's.
    fn work(&mut self) -> bool {
        let mut rounds = 0;
        while self.raw.has_ready() {
            rounds += 1;
            assert!(rounds < 1000, "work without end");
            let mut ready = self.raw.ready();
            if self.raw.failure().is_some() {
                return false;
            }
            self.save(&ready);
            self.apply(&ready.committed_entries);
            let messages = std::mem::take(&mut ready.messages);
            assert!(messages.iter().all(|m| m.to != 1 || is_local_target(m.to)));
            if self.asynchronous {
                for response in messages.into_iter().flat_map(|m| m.responses) {
                    if response.to == 1
                        && let Err(error) = self.raw.step(response)
                        && error.is_fatal()
                    {
                        return false;
                    }
                }
            } else {
                self.raw.advance(ready);
            }
        }
        let status = self.raw.basic_status();
        assert!(status.commit >= self.commit && status.applied <= status.commit);
        self.commit = status.commit;
        self.raw.failure().is_none()
    }

    fn step(&mut self, message: Message) -> bool {
        match self.raw.step(message) {
            Err(error) if error.is_fatal() => false,
            _ => self.work(),
        }
    }
}

/// A node in a role, with a few entries in its log.
fn node(bits: u8, role: u8) -> Option<Node> {
    let storage = MemoryStorage::new();
    let conf_state = match role & 0x30 {
        0x10 => ConfState {
            voters: vec![2, 3],
            learners: vec![1],
            ..ConfState::default()
        },
        0x20 => ConfState {
            voters: vec![1, 2, 3],
            voters_outgoing: vec![1, 2, 4],
            learners: vec![5],
            learners_next: vec![4],
            auto_leave: bits & 0x80 != 0,
        },
        0x30 => ConfState {
            voters: vec![1],
            ..ConfState::default()
        },
        _ => ConfState {
            voters: vec![1, 2, 3],
            ..ConfState::default()
        },
    };
    let metadata = SnapshotMetadata {
        conf_state,
        index: 2,
        term: 1,
    };
    let snapshot = Snapshot {
        data: None,
        metadata,
    };
    storage.apply_snapshot(snapshot).ok()?;
    let log: Vec<Entry> = (3..=6)
        .map(|index| Entry {
            term: index / 3,
            index,
            data: Some("entry".into()),
            ..Entry::default()
        })
        .collect();
    storage.append(&log).ok()?;
    storage.set_hard_state(HardState {
        term: 2,
        vote: 0,
        commit: 4,
    });
    let lease = bits & 8 != 0;
    let config = Config {
        election_tick: 3,
        pre_vote: bits & 1 != 0,
        check_quorum: bits & 2 != 0 || lease,
        async_storage_writes: bits & 4 != 0,
        read_only_option: if lease {
            ReadOnlyOption::LeaseBased
        } else {
            ReadOnlyOption::Safe
        },
        step_down_on_removal: bits & 16 != 0,
        max_inflight_msgs: if bits & 32 != 0 { 1 } else { 8 },
        max_size_per_msg: if bits & 64 != 0 { 0 } else { 64 },
        max_uncommitted_entries_size: if bits & 128 != 0 { 20 } else { 0 },
        ..Config::new(1)
    };
    let mut node = Node {
        asynchronous: config.async_storage_writes,
        raw: RawNode::new(config, storage).ok()?,
        commit: 0,
    };
    if role & 1 != 0 {
        node.raw.campaign().ok()?;
        if !node.work() {
            return None;
        }
    }
    if role & 2 != 0 {
        for kind in [18, 6] {
            for from in [2, 4] {
                let term = 3;
                node.step(Message {
                    r#type: kind,
                    from,
                    to: 1,
                    term,
                    ..Message::default()
                })
                .then_some(())?;
            }
        }
    }
    Some(node)
}

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let (bits, role) = (script.byte(), script.byte());
    let Some(mut node) = node(bits, role) else {
        return;
    };
    for _ in 0..32 {
        if script.0.is_empty() {
            return;
        }
        let going = match script.byte() % 16 {
            0..=7 => {
                let message = script.message();
                node.step(message)
            }
            8 => {
                let len = usize::from(script.byte()).min(script.0.len());
                let (message, rest) = script.0.split_at(len);
                script.0 = rest;
                match Message::decode(message) {
                    Ok(message) => node.step(message),
                    Err(_) => true,
                }
            }
            9 => {
                node.raw.tick();
                node.work()
            }
            10 => {
                for _ in 0..7 {
                    node.raw.tick();
                }
                node.work()
            }
            11 => {
                // Taken or not.
                drop(node.raw.propose("proposal".into()));
                node.work()
            }
            12 => {
                node.raw.read_index("read".into());
                node.raw.transfer_leader(script.number());
                node.work()
            }
            13 => {
                let status = if script.byte() & 1 == 0 {
                    SnapshotStatus::Finish
                } else {
                    SnapshotStatus::Failure
                };
                node.raw
                    .report_snapshot(u64::from(script.byte() & 7), status);
                node.raw.report_unreachable(u64::from(script.byte() & 7));
                node.work()
            }
            14 => {
                let change = ConfChange {
                    r#type: i32::from(script.byte() % 5),
                    node_id: u64::from(script.byte() & 7),
                    ..ConfChange::default()
                };
                drop(node.raw.propose_conf_change(&change));
                node.work()
            }
            _ => {
                // Compaction, so that followers need snapshots.
                let applied = node.raw.basic_status().applied;
                drop(
                    node.raw
                        .storage()
                        .create_snapshot(applied, None, "state".into()),
                );
                drop(node.raw.storage().compact(applied));
                node.work()
            }
        };
        if !going {
            return;
        }
    }
});
