//! A whole member in one thread and virtual time: the server's store, state machine and leases over
//! [`varve_raftnode::Stepper`], on any file system and any transport. For the simulator.
//!
//! What a server does in its threads and tasks happens here when the caller says so: a raft role's turn
//! ([`Member::step`]), a backend commit ([`Member::commit`]), a part of a compaction or of catching up
//! watchers ([`Member::background`]), a look at the leases ([`Member::keep_leases`]). Requests are the
//! futures of `call`, polled after each of these. Equal choices give equal runs.
//!
//! # Not here
//! gRPC, the peer transport's streams, metrics: a client is a function call, the network the caller's.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use varve_mvcc::{ManualClock, Store};
use varve_proto::raftpb::ConfState;
use varve_raftnode::membership::Cluster;
use varve_raftnode::{
    Node, Observer, RequestIds, Role, StateMachine, Stepper, Transport, WalWrite,
};
use varve_vfs::DynFs;

use crate::apply::ClusterView;
use crate::lease_expiry::Duty;
use crate::rpc::RpcError;
use crate::start::StartError;
use crate::waiters::Waiters;

mod call;
mod open;

pub use crate::seeded::Seeded;
#[cfg(feature = "seeded-bugs")]
pub use crate::seeded::SeededBug;
pub use call::{Call, Reply, Request, Response};
pub use open::{Numbers, Settings};

/// What a member told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Why it cannot go on.
    pub failure: Option<String>,
    /// The cluster goes on without it.
    pub removed: bool,
    /// Raft snapshots it saved.
    pub snapshots_saved: usize,
}

/// What requests use of a member.
pub(crate) struct Shared {
    id: u64,
    node: Node,
    store: Store,
    cluster: ClusterView,
    waiters: Arc<Waiters>,
    request_ids: RequestIds,
    seeded: Seeded,
}

/// A member. Dropping it is what `kill -9` is to a process.
pub struct Member {
    stepper: Stepper,
    shared: Arc<Shared>,
    clock: Arc<ManualClock>,
    told: Arc<Mutex<Told>>,
    duty: Duty,
    /// A look at the leases that waits for something.
    looking: Option<call::Look>,
    extend: Duration,
    checkpoints: bool,
    /// Configuration at the snapshot that the log started from.
    first_conf_state: ConfState,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("stepper", &self.stepper)
            .field("told", &*self.told.lock())
            .finish_non_exhaustive()
    }
}

impl Member {
    /// Opens or makes the data directory, as a server's start does. `wrap` gets the state machine on its
    /// way into the member, and may put itself around it.
    ///
    /// # Errors
    /// Those of a start.
    pub fn open(
        fs: &DynFs,
        settings: &Settings,
        transport: Arc<dyn Transport>,
        wrap: impl FnOnce(Box<dyn StateMachine>, &Store) -> Box<dyn StateMachine>,
    ) -> Result<Self, StartError> {
        open::open(fs, settings, transport, wrap)
    }

    /// Has one of raft's roles do what waits for it.
    pub fn step(&mut self, role: Role) {
        self.stepper.step(role);
    }

    /// Whether a role has something to do now.
    pub fn has_work(&self, role: Role) -> bool {
        self.stepper.has_work(role)
    }

    /// Whether the member has not ended.
    pub fn is_alive(&self) -> bool {
        self.stepper.is_alive()
    }

    /// Ends the member as a server ends that is told to: the log synced, the database committed.
    ///
    /// # Errors
    /// The last commit.
    pub fn close(mut self) -> varve_mvcc::Result<()> {
        self.node().stop();
        self.stepper.step(Role::Raft);
        self.shared.store.close()
    }

    /// Lets time pass, for raft and for the leases.
    pub fn advance(&mut self, by_ms: u64) {
        self.stepper.advance(Duration::from_millis(by_ms));
        self.clock.advance_ms(by_ms);
    }

    /// Commits what waits in the write-behind batch, as the committer does by its interval. A failure
    /// shows with the next entries, as in a server.
    pub fn commit(&self) {
        // An error is kept by the backend.
        drop(self.shared.store.backend().commit_due());
    }

    /// One part of a compaction, one of catching up watchers.
    ///
    /// # Errors
    /// What the store met.
    pub fn background(&self) -> varve_mvcc::Result<()> {
        self.shared.store.step_watchers();
        self.shared.store.step_compaction().map(drop)
    }

    /// Looks for leases that ran out, as a server does twice a second and when the leader changes.
    pub fn keep_leases(&mut self) {
        if self.looking.is_none() {
            let status = self.node().status();
            let kept = self.duty.observe(
                (status.leader, status.term),
                self.shared.id,
                self.shared.store.lessor(),
                self.extend,
            );
            self.looking = kept.map(|term| call::look(&self.shared, term, self.checkpoints));
        }
        self.go_on_looking();
    }

    /// Goes on with a look at the leases that had to wait.
    pub fn go_on_looking(&mut self) {
        if let Some(look) = &mut self.looking
            && poll(look).is_some()
        {
            self.looking = None;
        }
    }

    /// Begins a request; [`poll`] goes on with it. Dropping it is what a client does that gives up.
    pub fn call(&self, request: Request) -> Call {
        call::begin(&self.shared, request)
    }

    /// The handle on the raft node.
    pub fn node(&self) -> &Node {
        &self.shared.node
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The membership as this member has it.
    pub fn cluster(&self) -> Cluster {
        self.shared.cluster.read().clone()
    }

    /// Whether this member knows that another was removed: it talks to that one no more.
    pub fn has_removed(&self, id: u64) -> bool {
        self.shared.cluster.read().is_removed(id)
    }

    /// The configuration that the log started from.
    pub fn first_conf_state(&self) -> &ConfState {
        &self.first_conf_state
    }

    /// What it told so far.
    pub fn told(&self) -> Told {
        self.told.lock().clone()
    }
}

/// Goes on with a request as far as it gets; its outcome, once.
pub fn poll<T>(call: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// Passes on what a server's observer passes on, and remembers the rest.
struct Ear {
    told: Arc<Mutex<Told>>,
    waiters: Arc<Waiters>,
}

impl Observer for Ear {
    fn proposal_dropped(&self, id: u64) {
        self.waiters
            .complete(id, Err(RpcError::TooManyRequests.into()));
    }

    fn wal_written(&self, _: WalWrite) {}

    fn leader_changed(&self, _: u64, _: u64) {}

    fn snapshot_saved(&self, _: u64) {
        self.told.lock().snapshots_saved += 1;
    }

    fn removed(&self) {
        self.told.lock().removed = true;
    }

    fn failed(&self, error: &(dyn std::error::Error + Send + Sync)) {
        self.waiters.fail_all(RpcError::Stopped);
        self.told.lock().failure = Some(error.to_string());
    }
}
