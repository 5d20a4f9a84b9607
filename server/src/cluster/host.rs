//! The member as its peer transport sees it.
//!
//! Called on tokio tasks; nothing here blocks.
use tokio::sync::watch;
use varve_proto::raftpb::Message;
use varve_raftnode::{Node, PeerHost, ReceiveError, RequestError};

use crate::apply::ClusterView;
use crate::events::Ending;

/// Hands messages to the raft thread, and knows who was removed.
pub(crate) struct MemberHost {
    node: Node,
    cluster: ClusterView,
    local_id: u64,
    ending: watch::Sender<Option<Ending>>,
}

impl MemberHost {
    pub(crate) fn new(
        node: Node,
        cluster: ClusterView,
        ending: watch::Sender<Option<Ending>>,
    ) -> Self {
        let local_id = cluster.read().local_id;
        Self {
            node,
            cluster,
            local_id,
            ending,
        }
    }
}

impl PeerHost for MemberHost {
    fn receive(&self, message: Message) -> Result<(), ReceiveError> {
        if self.cluster.read().is_removed(message.from) {
            return Err(ReceiveError::Removed);
        }
        if message.to != self.local_id {
            return Err(ReceiveError::NotForUs);
        }
        self.node.receive(message).map_err(|error| match error {
            RequestError::TooMany => ReceiveError::Busy,
            other => ReceiveError::Other(other.to_string()),
        })
    }

    fn is_removed(&self, id: u64) -> bool {
        self.cluster.read().is_removed(id)
    }

    fn report_unreachable(&self, id: u64) {
        self.node.report_unreachable(id);
    }

    fn applied(&self) -> u64 {
        self.node.published().applied().get()
    }

    fn report_snapshot(&self, id: u64, sent: bool) {
        self.node.report_snapshot(id, sent);
    }

    fn removed_from_cluster(&self) {
        self.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            if first {
                *ending = Some(Ending::Removed);
            }
            first
        });
    }
}
