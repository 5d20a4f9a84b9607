//! One member of a raft cluster, without knowing what it replicates.
//!
//! Drives the consensus core of `varve-raft` over the log of `varve-wal` and the snapshots of
//! `varve-snap`, and hands committed entries to a [`StateMachine`]. Asynchronous storage writes are
//! the normal mode: while a batch is synced, the next one gathers. Synchronous code on four threads;
//! see [`Node`].
//!
//! # Not here
//! What entries mean (the server's `apply`), and how peers are reached ([`Transport`]).
#![forbid(unsafe_code)]

mod applied;
mod apply_thread;
mod bootstrap;
mod clock;
mod driver;
mod error;
mod event;
mod log_seat;
mod log_store;
mod log_writer;
mod mailbox;
pub mod membership;
mod node;
mod peer;
mod progress;
mod request_id;
mod roles;
mod snapshotter;
mod state_machine;
mod status;
mod stepper;
mod threads;
mod turns;

pub use applied::AppliedIndex;
pub use bootstrap::{Bootstrapped, create, has_wal, open};
pub use error::{Error, RequestError, Result};
pub use event::Done;
pub use log_store::LogStore;
pub use node::{Node, NodeConfig};
pub use peer::{
    AppendDecoder, AppendEncoder, DeadlineIo, DecodeError, DirectIo, DirectSocket, Frame,
    HistogramFigures, MemberFigures, MessageDecoder, Output, PeerBody, PeerClient, PeerConfig,
    PeerError, PeerFigures, PeerHost, PeerTimings, PeerTls, PeerUrl, Peers, ReceiveError, Scheme,
    ServerTls, TlsError, TlsFiles, encode_message,
};
pub use progress::{ClusterProgress, MemberProgress};
pub use request_id::RequestIds;
pub use state_machine::{
    Fatal, NoPeers, Observer, PendingSnapshot, Reconfigure, StateExport, StateMachine, Transport,
    WalWrite,
};
pub use status::{Published, Status};
pub use stepper::{Role, Stepper};
pub use turns::{work_before_sleep, write_before_sleep};
