//! A network in memory: what was sent waits here until somebody lets it through, or not.
use std::collections::{BTreeSet, VecDeque};
use std::io::Read as _;
use std::sync::Arc;

use parking_lot::Mutex;
use varve_proto::raftpb::Message;
use varve_raftnode::{StateExport, Transport};

/// Something on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: u64,
    pub(crate) message: Message,
    /// The database of a `MsgSnap`.
    pub(crate) database: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) packets: VecDeque<Packet>,
    /// Directed links that are cut: from, to.
    cut: BTreeSet<(u64, u64)>,
    /// Snapshots sent so far.
    pub(crate) snapshots: usize,
}

pub(crate) type SharedNetwork = Arc<Mutex<Network>>;

impl Network {
    pub(crate) fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Cuts a member off from these others, both ways.
    pub(crate) fn isolate(&mut self, id: u64, others: impl IntoIterator<Item = u64>) {
        for other in others {
            if other != id {
                self.cut.insert((id, other));
                self.cut.insert((other, id));
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }
}

/// One member's end of it.
pub(crate) struct Port {
    pub(crate) id: u64,
    pub(crate) network: SharedNetwork,
}

impl Transport for Port {
    fn send(&self, messages: Vec<Message>) {
        let mut network = self.network.lock();
        for message in messages {
            network.packets.push_back(Packet {
                from: self.id,
                message,
                database: None,
            });
        }
    }

    fn send_snapshot(&self, message: Message, mut state: StateExport) {
        let mut database = Vec::new();
        state.reader.read_to_end(&mut database).unwrap();
        assert_eq!(database.len() as u64, state.len);
        let mut network = self.network.lock();
        network.snapshots += 1;
        network.packets.push_back(Packet {
            from: self.id,
            message,
            database: Some(database),
        });
    }
}
