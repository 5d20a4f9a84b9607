//! What the transport needs of its member.
use varve_proto::raftpb::Message;

/// The member behind the transport. Called on tokio tasks and on whichever thread sends: must not block,
/// and must not call [`Peers`](super::Peers) (a sender holds its lock meanwhile); another thread may.
pub trait PeerHost: Send + Sync + 'static {
    /// Takes a message from a peer (etcd: `Process`).
    fn receive(&self, message: Message) -> Result<(), ReceiveError>;

    /// Whether this member was removed from the cluster for good. Its streams are answered 410, upon
    /// which a real member stops itself.
    fn is_removed(&self, id: u64) -> bool;

    /// Something for this member was dropped, or could not be sent.
    fn report_unreachable(&self, id: u64);

    /// The index of the last entry that this member applied: while it grows, snapshots leave more slowly.
    fn applied(&self) -> u64;

    /// How sending a snapshot to this member ended. Until then raft sends it nothing else.
    fn report_snapshot(&self, id: u64, sent: bool);

    /// A peer says that this member was removed from the cluster.
    fn removed_from_cluster(&self);
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Its sender was removed. Answered 403, upon which a real sender stops itself.
    #[error("cannot process message from removed member")]
    Removed,
    /// It is for another member. Answered 403, upon which a real sender stops itself.
    #[error("cannot process message to mismatch member")]
    NotForUs,
    /// Too much waits already, or the member is not ready.
    #[error("too many messages wait")]
    Busy,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
