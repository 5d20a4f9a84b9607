//! Snapshots between members: a `MsgSnap` and, behind it, the whole database.
mod pace;
mod receive;
mod send;

pub(crate) use receive::{ReceiveFailure, receive};
pub(crate) use send::{Outcome, SnapshotSender};

/// Where snapshots are posted.
const PATH: &str = "/raft/snapshot";
